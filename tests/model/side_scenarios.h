/* The scenarios of the side word, of what side_scene.h has. */
#ifndef LIDO_TESTS_MODEL_SIDE_SCENARIOS_H
#define LIDO_TESTS_MODEL_SIDE_SCENARIOS_H

#include "side_scene.h"

static const struct model_scenario events = {
    .name = "side: two bytes, two events",
    .setup = set_up,
    .check = all_was_read,
    .threads = {TASK(read_twice), {"reactor", bring_two_bytes, NULL}},
    .preemptions = 5,
};

static const struct model_scenario two_reactors = {
    .name = "side: two reactors that watch it",
    .setup = set_up,
    .check = all_was_read,
    .threads = {TASK(read_twice),
                {"reactor", bring_a_byte, NULL},
                {"reactor 2", bring_a_byte, NULL}},
    .preemptions = 3,
};

static const struct model_scenario closing = {
    .name = "side: a read, an event and a close",
    .setup = set_up,
    .check = read_or_cancelled,
    .threads = {TASK(read_once), {"reactor", bring_a_byte, NULL}, {"closer", close_handle, NULL}},
    .preemptions = 3,
};

/* The event says nothing new: the try that it causes would wait. */
static const struct model_scenario closing_early = {
    .name = "side: a read, an event for nothing and a close",
    .setup = set_up,
    .check = read_or_cancelled,
    .threads = {TASK(read_once), {"reactor", tell_late, NULL}, {"closer", close_handle, NULL}},
    .preemptions = 3,
};

static const struct model_scenario closing_writer = {
    .name = "side: a write, an event and a close",
    .setup = set_up,
    .check = written_or_cancelled,
    .threads = {TASK(write_once), {"reactor", bring_room, NULL}, {"closer", close_handle, NULL}},
    .preemptions = 3,
};

static const struct model_scenario cancelling = {
    .name = "side: a read, an event and a cancel",
    .setup = set_up,
    .check = read_after_all,
    .threads = {TASK(read_again_if_cancelled),
                {"reactor", bring_a_byte, NULL},
                {"canceller", cancel_task, NULL}},
    .preemptions = 3,
};

static const struct model_scenario cancel_and_close = {
    .name = "side: a read, an event, a cancel and a close",
    .setup = set_up,
    .check = read_or_cancelled,
    .threads = {TASK(read_once),
                {"reactor", tell_late, NULL},
                {"canceller", cancel_task, NULL},
                {"closer", close_handle, NULL}},
    .preemptions = 2,
};

static const struct model_scenario two_tasks = {
    .name = "side: two tasks on it",
    .setup = set_up,
    .check = read_or_busy,
    .threads = {TASK(read_once), SECOND_TASK, {"reactor", bring_four_bytes, NULL}},
    .preemptions = 3,
};

static const struct model_scenario end_of_stream = {
    .name = "side: the end of the stream, and a late event",
    .setup = set_up,
    .check = read_to_its_end,
    .threads = {TASK(read_to_the_end),
                {"reactor", bring_three_bytes_and_the_end, NULL},
                {"reactor 2", tell_late, NULL}},
    .preemptions = 3,
};

static const struct model_scenario recycled = {
    .name = "side: an event of what the handle was",
    .setup = set_up,
    .check = told_in_the_end,
    .threads = {TASK(wait_for_input),
                {"closer", renew_handle, NULL},
                {"reactor", bring_a_byte_to_the_next, NULL},
                {"late reactor", tell_of_the_first, NULL}},
    .preemptions = 3,
};

static const struct model_scenario without_waiting = {
    .name = "side: writes that do not wait",
    .setup = set_up,
    .check = written_once_at_most,
    .threads = {TASK(try_to_write_twice), {"reactor", bring_room, NULL}},
    .preemptions = 5,
};

#endif
