/* What ends the soak when something is wrong: says what, how to see it again, and what everybody was doing. */
#ifndef TESTS_SOAK_WATCHDOG_H
#define TESTS_SOAK_WATCHDOG_H

#include "soak/round.h"

/* Far beyond what a loaded machine under a sanitizer needs: only a broken promise takes so long. */
#define PATIENCE_MS 60000

/* Before the first round. */
void watchdog_start(void);
void watchdog_stop(void);

/* The round that is reported from now on; NULL: none. */
void watchdog_round(const struct round *round);
/* What happens now, which must not take PATIENCE_MS, or half as long again. */
void watchdog_phase(const char *phase);

/* From any thread or task. */
#define fail_soak(...) fail_soak_at(LIDO_HERE, __VA_ARGS__)
__attribute__((noreturn, format(printf, 2, 3))) void fail_soak_at(const char *where,
                                                                  const char *format, ...);
#define insist(condition) ((condition) ? (void)0 : fail_soak("not so: %s", #condition))

/* The callback of lido_shutdown: prints. */
void print_stuck(void *unused, const lido_stuck *stuck);

#endif
