/*
 * The watch: reports of a worker that does not come back from one poll, for runtimes that ask (law 10).
 *
 * The lifeguard finds such a worker, and sends its thread a signal; the handler, on that thread, says which
 * task it is in the middle of, and how it came there. The signal is SIGURG: nothing else uses it, its default
 * is to be ignored, and one that comes unasked is passed on to the handler before.
 */
#ifndef LIDO_RT_WATCH_H
#define LIDO_RT_WATCH_H

#include <lido.h>

struct lido_runtime;
struct lido__worker;

/* Any thread; counted. The handler comes with the first, and the one before it comes back with the last. */
void lido__watch_install(void);
void lido__watch_release(void);

/*
 * The worker has been in one poll, or with `blocking` in one section, for so long. Its thread is asked where it is.
 * False: it is silent, and nothing has been reported; with `anyhow` that is reported without a name and frames.
 * On the lifeguard's thread.
 */
bool lido__watch_report(struct lido_runtime *runtime, struct lido__worker *worker, bool blocking,
                        bool anyhow, uint64_t since, uint64_t now);

#endif
