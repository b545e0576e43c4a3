/*
 * Descriptors that were another's, and block.
 *
 * Whether a descriptor blocks is a property of the description of the file, which others may share: the
 * shell that has lent its terminal, a process at the other end of a dup. So one that lido has made
 * non-blocking is made blocking again when it is closed, when the last runtime of the process ends, and
 * when the process exits.
 *
 * Threads: any.
 */
#ifndef LIDO_NET_BORROW_H
#define LIDO_NET_BORROW_H

#include <stdbool.h>

/* handle->flags: the descriptor blocked before. */
#define LIDO__BORROWED 16u

/* Makes it non-blocking, and closed on exec. 1: it must be given back. 0: it was so before. A negative errno, and
   then it is as it was; -ENOMEM. */
int lido__borrow(int fd);

/* It is given up; `blocks`: and blocks again. */
void lido__give_back(int fd, bool blocks);

/* All that are left block again, for nobody uses them any more. */
void lido__give_back_all(void);

#endif
