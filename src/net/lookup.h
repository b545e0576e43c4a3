/*
 * Looking up names: getaddrinfo, which blocks, as a job of the DNS pool.
 *
 * A lookup lives on the heap, and its state says who frees it: the task may leave at any moment (it was
 * cancelled, its deadline passed), while the thread is stuck with a name server; the runtime may even end.
 *
 *     RUNNING --> DONE       the task frees it, when it has taken the result
 *        `------> ABANDONED  the thread frees it, when getaddrinfo returns
 */
#ifndef LIDO_NET_LOOKUP_H
#define LIDO_NET_LOOKUP_H

#include <lido.h>

#include "net/addr.h"

/*
 * Looks up both parts: how many addresses there were, at most `capacity`. -ENOENT, -EAGAIN, -EINVAL (no such
 * service), -ENOMEM, ...; -ECANCELED, -ETIMEDOUT, also while it waits for its turn. Fibers.
 */
int lido__look_up(const struct lido__host_port *parts, lido_address *addresses, size_t capacity);

#endif
