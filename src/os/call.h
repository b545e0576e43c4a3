/*
 * How os/ calls the system: the fault seam, and -errno. For the files of this room only.
 *
 * All evaluate to the result of `call` or the negative errno, and leave errno as it was: that belongs to the fiber,
 * which mostly waits after a first attempt has failed. None returns from the function.
 */
#ifndef LIDO_OS_CALL_H
#define LIDO_OS_CALL_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/fault.h"

/* Without the seam, and with the error as the system has it. */
#define LIDO__CALL_PLAIN(call)                                                                     \
    ({                                                                                             \
        int before_ = errno;                                                                       \
        __typeof__(call) plain_ = (call);                                                          \
        if (plain_ < 0) {                                                                          \
            plain_ = -errno;                                                                       \
            errno = before_;                                                                       \
        }                                                                                          \
        plain_;                                                                                    \
    })

#define LIDO__CALL(name, call)                                                                     \
    ({                                                                                             \
        __typeof__(call) result_ = lido__fault(name);                                              \
        if (result_ == 0)                                                                          \
            result_ = LIDO__CALL_PLAIN(call);                                                      \
        if (result_ < 0)                                                                           \
            result_ = lido__error_of_system((int)result_);                                         \
        result_;                                                                                   \
    })

/* Whether a call of os/hot.h that has failed is to be repeated; if not, its error is lido's from
   here on. */
static inline __attribute__((always_inline)) bool lido__call_again(ssize_t *result)
{
    if (*result == -EINTR)
        return true;
    *result = lido__error_of_system((int)*result);
    return false;
}

/* The same for a call of os/hot.h, which returns the error itself, and is repeated after a signal. */
#define LIDO__CALL_HOT(name, call)                                                                 \
    ({                                                                                             \
        ssize_t hot_;                                                                              \
        do {                                                                                       \
            hot_ = lido__fault(name);                                                              \
            if (hot_ == 0)                                                                         \
                hot_ = (call);                                                                     \
        } while (__builtin_expect(hot_ < 0, 0) && lido__call_again(&hot_));                        \
        hot_;                                                                                      \
    })

/* For calls that, when a signal interrupts them, have done nothing. */
#define LIDO__CALL_AGAIN(name, call)                                                               \
    ({                                                                                             \
        __typeof__(call) again_;                                                                   \
        do                                                                                         \
            again_ = LIDO__CALL(name, call);                                                       \
        while (again_ == -EINTR);                                                                  \
        again_;                                                                                    \
    })

#endif
