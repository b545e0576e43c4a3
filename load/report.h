/* What a run has shown, for people and for programs. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdio.h>

#include "run.h"

void report_text(const struct run *run, FILE *out);

/*
 * One object: "elapsed_s", "requests" (answered), "rate", "bytes", "unanswered", "errors" by kind,
 * "latency_ns", in the open loop "held_back" and "send_lateness_ns", and "options".
 */
void report_json(const struct run *run, FILE *out);

#endif
