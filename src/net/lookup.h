/*
 * Looking up names: getaddrinfo, which blocks, in a helper thread.
 *
 * At most LIDO__LOOKUPS_MAX threads in the process do so; further lookups wait for one of them, as
 * tasks, in their order. A thread goes on with the next that waits, and ends when none does. One
 * mutex guards all of it: a lookup is a thousand times as long as anything done under it.
 *
 * A lookup lives on the heap, and its state says who frees it: the task may leave at any moment (it
 * was cancelled, its deadline passed), while the thread is stuck with a name server.
 *
 *     WAITING --> RUNNING --> DONE       the task frees it, when it takes the result
 *        |           `------> ABANDONED  the thread frees it, when getaddrinfo returns
 *        `-> freed by the task
 */
#ifndef LIDO_NET_LOOKUP_H
#define LIDO_NET_LOOKUP_H

#include <lido.h>
#include <netdb.h>

#include "net/addr.h"

#define LIDO__LOOKUPS_MAX 16

struct lido__lookup;

/*
 * Starts to look up both parts; `waker` is used when it is done, or dropped, and is not the
 * caller's any more. -ENOMEM, -EAGAIN: no thread; then the waker is still the caller's.
 */
int lido__lookup_start(struct lido__lookup **ret_lookup, const struct lido__host_port *parts,
                       lido_waker waker);

bool lido__lookup_done(struct lido__lookup *lookup);

/*
 * Takes the result of a lookup that is done, and frees it: how many addresses there were, at most
 * `capacity`; -ENOENT, -EAGAIN, -EINVAL (no such service), -ENOMEM, ...
 */
int lido__lookup_take(struct lido__lookup *lookup, lido_address *addresses, size_t capacity);

/* Leaves a lookup, done or not. */
void lido__lookup_abandon(struct lido__lookup *lookup);

#endif
