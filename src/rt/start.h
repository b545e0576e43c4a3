/*
 * Starting the threads of a crew, and what is done when none can be started (RLIMIT_NPROC, a container's limit of
 * pids, no memory): the crew goes on with those that it has, and tries again after a while, which grows from a
 * millisecond to 16, or as soon as one of its threads has ended or is idle. Somebody who has no other choice insists.
 *
 * The back-off is the crew's, and not that of one worker or job: what one was refused the next one is refused too,
 * and each refusal costs some 30 us.
 *
 * Threads: everything here is called with the lock of the crew held, unless said otherwise.
 */
#ifndef LIDO_RT_START_H
#define LIDO_RT_START_H

#include "rt/crew.h"

/*
 * A new thread, which is in no list: it waits for whoever has started it, for as long as that takes.
 * -EAGAIN, -ENOMEM, -EINVAL (no such cpu).
 */
int lido__crew_start(struct lido__crew *crew, int cpu, bool insist,
                     struct lido__member **ret_member);

/* One has ended, or is idle: there may be one for those who were refused. */
void lido__crew_may_start(struct lido__crew *crew);

/* A thread was refused that is not of the crew: the lifeguard. Any thread, without the lock. */
void lido__crew_refused(struct lido__crew *crew);

/* What a thread needs that may not be there. -ENOMEM. Without the lock for the guest. */
int lido__member_init(struct lido__member *member, struct lido__crew *crew, unsigned index);

/* The code of a thread; `member` is its argument. */
void lido__member_main(void *member);

#endif
