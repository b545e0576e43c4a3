/* Numbers for readers. */
#ifndef LOAD_TEXT_H
#define LOAD_TEXT_H

#include <stdint.h>

struct text {
    char text[24];
};

/* "850 ns", "12.3 us", "1.45 ms", "2.10 s": three digits. */
struct text text_of_time(double ns);
/* "64 B", "12.5 KiB", ... */
struct text text_of_bytes(double bytes);

#endif
