/*
 * How os/ calls the system: the fault seam, and -errno. For the files of this room only.
 *
 * All evaluate to the result of `call` or the negative errno, and leave errno as it was: that belongs to the fiber,
 * which mostly waits after a first attempt has failed. None returns from the function.
 */
#ifndef LIDO_OS_CALL_H
#define LIDO_OS_CALL_H

#include <errno.h>

#include "base/fault.h"

/* Without the seam. */
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
        result_;                                                                                   \
    })

/* The same for a call of os/hot.h, which returns the error itself, and is repeated after a signal. */
#define LIDO__CALL_HOT(name, call)                                                                 \
    ({                                                                                             \
        __typeof__(call) hot_;                                                                     \
        do {                                                                                       \
            hot_ = lido__fault(name);                                                              \
            if (hot_ == 0)                                                                         \
                hot_ = (call);                                                                     \
        } while (__builtin_expect(hot_ == -EINTR, 0));                                             \
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
