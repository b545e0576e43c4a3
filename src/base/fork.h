/*
 * What the rooms must know of fork; the rest is in rt/fork.h.
 */
#ifndef LIDO_BASE_FORK_H
#define LIDO_BASE_FORK_H

#include <stdbool.h>

/*
 * This process was forked while a runtime lived. The threads of that runtime are not here, what they held stays
 * held, and its descriptors are the parent's too: nothing must wait for them, or use them.
 * Written by the child's only thread, before it returns from fork.
 */
extern bool lido__forked;

#endif
