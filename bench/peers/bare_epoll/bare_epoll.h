/* The jobs of the bare loop, and what they share. */
#ifndef LIDO_BENCH_BARE_EPOLL_H
#define LIDO_BENCH_BARE_EPOLL_H

#include <sys/epoll.h>

#include "peer.h"

/* Events that are taken from the kernel at once. */
#define BARE_EVENTS 512

void bare_streams(const struct peer_options *options);
void bare_datagrams(const struct peer_options *options);
void bare_proxy(const struct peer_options *options);
void bare_timers(const struct peer_options *options);

/* epoll_create1 and epoll_ctl; they end the program if they fail. */
int bare_epoll(void);
void bare_watch(int epoll, int how, int fd, uint32_t events, epoll_data_t data);

#endif
