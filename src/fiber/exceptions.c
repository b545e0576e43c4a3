#define _GNU_SOURCE /* RTLD_NOLOAD */

#include "fiber/exceptions.h"

#include <dlfcn.h>
#include <stdint.h>

#include "base/atomic.h"

typedef struct lido__exceptions *of_thread(void);

/* Of the ABI: the same address for a thread each time. */
extern of_thread __cxa_get_globals __attribute__((weak));

/* Relaxed: it is a constant, found once or several times. */
static lido__shared uintptr_t found;

/* Nothing is loaded, and a library that is there stays as long as it would have stayed. */
static void *find_in(const char *library)
{
    void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    void *symbol = handle ? dlsym(handle, "__cxa_get_globals") : NULL;
    if (handle)
        dlclose(handle);
    return symbol;
}

static void *find(void)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++abi.so.1"};
    void *symbol = dlsym(RTLD_DEFAULT, "__cxa_get_globals");
    for (size_t i = 0; !symbol && i < sizeof(libraries) / sizeof(libraries[0]); i++)
        symbol = find_in(libraries[i]);
    return symbol;
}

void lido__exceptions_find(void)
{
    if (!__cxa_get_globals && !lido__load(&found, LIDO__RELAXED))
        lido__store(&found, (uintptr_t)find(), LIDO__RELAXED);
}

bool lido__exchange_seat(struct lido__exchange *exchange)
{
    of_thread *get = (of_thread *)lido__load(&found, LIDO__RELAXED);
    if (__cxa_get_globals)
        get = __cxa_get_globals;
    exchange->thread = get ? get() : NULL;
    exchange->holder = &exchange->loop;
    return get;
}
