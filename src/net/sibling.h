/*
 * Several listeners on one address (SO_REUSEPORT): one more that is like the first, and how one of
 * them leaves without losing a connection.
 *
 * The system deals each connection to one listener of the group, and resets what is left in the
 * queue of one that is closed. So a listener leaves in three steps: its door is shut, to let no
 * further handshake begin; those that are under way come to their end; and what they have brought
 * is accepted.
 *
 * Threads: the task that uses the listener.
 */
#ifndef LIDO_NET_SIBLING_H
#define LIDO_NET_SIBLING_H

#include <lido.h>

/*
 * Another listener on the address of the first, with its options: what lido has set and what
 * somebody else has set on the descriptor, as far as the system lets it be read. Errors of
 * getsockopt, setsockopt, socket, bind and listen; -ENOMEM.
 */
int lido__sibling_open(lido_listener **listener, const lido_listener *first);

/*
 * From now on the first packet of a new connection is dropped: its sender repeats it after a
 * second, and another listener of the group gets it if this one is closed by then. False: it cannot
 * be shut, for the descriptor is also somebody else's, has a filter, or the system refuses.
 */
bool lido__door_shut(lido_listener *listener);

/* How long handshakes that had begun then may take: the time to a peer that is far away, and back.
   A variable for tests that are not about it. */
extern int64_t lido__handshakes_ms;

/* Undoes that; not of a door that is open. Whoever accepts again calls it. */
void lido__door_open(lido_listener *listener);

/* A connection that was accepted behind a door that was shut has inherited its filter. */
void lido__door_forget(int fd);

#endif
