/*
 * What the system's errors are to lido.
 *
 * Four codes are lido's own: -ECANCELED (the task), -ETIMEDOUT (a deadline), -ENXIO (outside of a
 * runtime) and -EDEADLK (in the poll of a future). A caller decides by them what to do with its
 * task. The system has other meanings for the same numbers, so each of its results passes here
 * before anybody sees it.
 *
 * Pure; from any thread.
 */
#ifndef LIDO_BASE_ERROR_H
#define LIDO_BASE_ERROR_H

#include <errno.h>

/* `error` is a negative errno of the system. Inline: the calls of the hot path have no register to
   save. */
static inline int lido__error_of_system(int error)
{
    switch (error) {
    case -ETIMEDOUT: return -EHOSTDOWN; /* TCP has given its peer up */
    case -ENXIO: return -ENODEV;        /* nothing is behind a device or a FIFO */
    case -EDEADLK: return -ENOLCK;
    case -ECANCELED: return -EIO;
    default: return error;
    }
}

#endif
