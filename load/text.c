#include "text.h"

#include <stdio.h>

/* In the greatest unit of which there is at least one, and three digits of it. */
static struct text scaled(double value, double step, const char *const *units, int count)
{
    struct text text;
    int unit = 0;
    while (unit + 1 < count && value >= step * 0.9995) {
        value /= step;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(text.text, sizeof(text.text), "%.*f %s", digits, value, units[unit]);
    return text;
}

struct text text_of_time(double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    return scaled(ns, 1000, units, 4);
}

struct text text_of_bytes(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return scaled(bytes, 1024, units, 5);
}
