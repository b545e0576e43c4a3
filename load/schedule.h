/* The part of a lane that grants requests; see lane.h. */
#ifndef LOAD_SCHEDULE_H
#define LOAD_SCHEDULE_H

#include "lane.h"

/* Open loop: to those who have room for it. */
void lane_grant_due(struct lane *lane, uint64_t now);

/* The end has come: nothing becomes due any more. What is due and was held back is granted yet. */
void lane_pass_end(struct lane *lane);

/* Open loop: how many requests are due by now (but for the end) and have not been granted. */
uint64_t lane_backlog(const struct lane *lane, uint64_t now);

#endif
