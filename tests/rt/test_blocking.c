/* Blocking sections: who runs meanwhile, and how many there may be at once. */
#include <errno.h>

#include "os/os.h"
#include "support/gate.h"
#include "support/runtime.h"

/* ---- The section itself ------------------------------------------------------------------------- */

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static void outside_a_runtime_it_just_runs(void **state)
{
    (void)state;
    check_int(lido_blocking(seven, NULL), 7);
}

static int look_around(void *arg)
{
    lido_task *untouched = NULL;
    check(lido_self() == NULL);
    check(lido_runtime_current() == NULL);
    check_int(lido_worker_index(), -ENXIO);
    check_int(lido_yield(), -ENXIO);
    check_int(lido_spawn(&untouched, seven, NULL), -ENXIO);
    check(untouched == NULL);
    errno = EPROTO;
    return *(int *)arg;
}

/* basic: a pool of one, with a capacity of one. */
static int use_sections(void *arg)
{
    lido_task *self = lido_self();
    (void)arg;
    errno = ENOTTY;
    for (int i = -3; i < 1000; i++) {
        check_int(lido_blocking(look_around, &i), i);
        check(lido_self() == self);
        check_int(lido_worker_index(), 0);
        check_int(errno, ENOTTY);
    }
    return 0;
}

static lido_config of(unsigned workers, unsigned max_blocking)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = workers;
    config.max_blocking = max_blocking;
    return config;
}

static void a_section_has_no_task_and_returns_its_result(void **state)
{
    lido_config config = of(1, 1);
    (void)state;
    check_int(lido_run(&config, use_sections, NULL), 0);
}

static int block_in_poll(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    return lido_blocking(seven, NULL);
}

static int join_block_in_poll(void *arg)
{
    lido_future future = {block_in_poll};
    lido_task *task;
    (void)arg;
    check_int(lido_spawn_future(&task, &future), 0);
    check_int(finish(task), -EDEADLK);
    return 0;
}

static void the_poll_of_a_future_cannot_block(void **state)
{
    (void)state;
    run(join_block_in_poll);
}

/* ---- What goes on meanwhile --------------------------------------------------------------------- */

static int pass(void *arg)
{
    gate_pass(arg);
    return 0;
}

static int section_that_passes(void *gate)
{
    return lido_blocking(pass, gate);
}

static int open_gate(void *gate)
{
    check_int(lido_sleep(1), 0); /* the wheel turns, too */
    gate_open(gate);
    return lido_worker_index();
}

/* Blocks until another task of this worker has run. Of a task that stays there. */
static int block_for_neighbour(void *arg)
{
    struct gate gate = {0};
    int here = lido_worker_index();
    (void)arg;
    lido_task *neighbour = start_pinned((unsigned)here, open_gate, &gate);
    check_int(section_that_passes(&gate), 0);
    check_int(lido_worker_index(), here);
    check_int(finish(neighbour), here);
    return 0;
}

static void the_workers_other_tasks_go_on(void **state)
{
    (void)state;
    run(block_for_neighbour);
}

static int block_on_each_worker(void *arg)
{
    lido_task *tasks[3 * 20];
    for (unsigned i = 0; i < COUNT(tasks); i++)
        tasks[i] = start_pinned(i % 3, block_for_neighbour, arg);
    for (unsigned i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void a_fiber_returns_to_its_worker(void **state)
{
    (void)state;
    run_on(3, block_on_each_worker, NULL);
}

struct nested {
    lido_runtime *runtime;
    int worker;
};

static int count_workers(void *arg)
{
    (void)arg;
    check_int(lido_blocking(seven, NULL), 7);
    return lido_worker_count();
}

static int run_nested(void *arg)
{
    struct nested *nested = arg;
    lido_config config = of(3, 1);
    lido_task *task;
    int result;
    check_int(lido_run(&config, count_workers, NULL), 3);
    check_int(lido_block_on(nested->runtime, count_workers, NULL), 2);
    check_int(lido_runtime_spawn(nested->runtime, &task, count_workers, NULL), 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, 2);
    return 0;
}

static int section_that_runs(void *arg)
{
    struct nested nested = {.runtime = lido_runtime_current()};
    (void)arg;
    return lido_blocking(run_nested, &nested);
}

static void other_executors_can_run_inside_blocking(void **state)
{
    (void)state;
    run_on(2, section_that_runs, NULL);
}

/* ---- Capacity ----------------------------------------------------------------------------------- */

struct turn {
    struct gate *gate;
    uint32_t *turns;
    uint32_t turn; /* which it was */
    int result;
};

static int take_turn(void *arg)
{
    struct turn *turn = arg;
    if (turn->gate)
        gate_pass(turn->gate);
    turn->turn = lido__fetch_add(turn->turns, 1, LIDO__RELAXED);
    return 1;
}

static int section_in_turn(void *arg)
{
    struct turn *turn = arg;
    turn->result = lido_blocking(take_turn, turn);
    return turn->result;
}

/* Sections of which the first blocks and has all the capacity there is; the others wait, in their order. */
struct line {
    struct gate gate;
    uint32_t turns;
    struct turn turn[6];
    lido_task *tasks[6];
};

static void stand_in_line(struct line *line)
{
    *line = (struct line){0};
    for (unsigned i = 0; i < COUNT(line->turn); i++) {
        line->turn[i] = (struct turn){.turns = &line->turns, .gate = i ? NULL : &line->gate};
        line->tasks[i] = start(section_in_turn, &line->turn[i]);
        /* The next stands behind it. */
        for (int n = 0; n < 3; n++)
            check_int(lido_yield(), 0);
    }
    check_int(line->turns, 0);
}

static int all_in_turn(void *arg)
{
    struct line line;
    (void)arg;
    stand_in_line(&line);
    gate_open(&line.gate);
    for (unsigned i = 0; i < COUNT(line.turn); i++) {
        check_int(finish(line.tasks[i]), 1);
        check_int(line.turn[i].turn, i);
    }
    return 0;
}

static void notify_task_on_capacity(void **state)
{
    lido_config config = of(1, 1);
    (void)state;
    check_int(lido_run(&config, all_in_turn, NULL), 0);
}

/* tokio's capacity is lost by a task that does not use it. Here a task that is granted some has it; one that
   gives up while it waits hands on what comes to it. */
static int some_give_up(void *arg)
{
    struct line line;
    (void)arg;
    stand_in_line(&line);
    lido_cancel(line.tasks[1]);
    lido_cancel(line.tasks[4]);
    gate_open(&line.gate);
    lido_cancel(
        line.tasks[5]); /* in the moment in which capacity comes, or not: either it runs or not */
    int gave_up = finish(line.tasks[5]);
    check(gave_up == 1 || gave_up == -ECANCELED);
    check_int(finish(line.tasks[1]), -ECANCELED);
    check_int(finish(line.tasks[4]), -ECANCELED);
    check_int(finish(line.tasks[0]), 1);
    check_int(finish(line.tasks[2]), 1);
    check_int(finish(line.tasks[3]), 1);
    check_int(line.turn[2].turn, 1);
    check_int(line.turn[3].turn, 2);
    check_int(line.turns, 3 + (gave_up == 1));
    return lido_blocking(seven, NULL) - 7; /* none is lost */
}

static void capacity_is_use_it_or_lose_it(void **state)
{
    lido_config config = of(1, 1);
    (void)state;
    for (int i = 0; i < 100; i++)
        check_int(lido_run(&config, some_give_up, NULL), 0);
}

static int run_late(void *arg)
{
    struct line *line = arg;
    {
        lido_within(1);
        check_int(lido_blocking(take_turn, &line->turn[1]), -ETIMEDOUT);
    }
    check_int(line->turns, 0);
    return 0;
}

static int wait_under_a_deadline(void *arg)
{
    struct line line = {0};
    (void)arg;
    line.turn[0] = line.turn[1] = (struct turn){.turns = &line.turns, .gate = &line.gate};
    lido_task *first = start(section_in_turn, &line.turn[0]);
    check_int(lido_yield(), 0);
    check_int(finish(start(run_late, &line)), 0);
    gate_open(&line.gate);
    check_int(finish(first), 1);
    check_int(line.turns, 1);
    return 0;
}

static void the_wait_for_capacity_has_a_deadline(void **state)
{
    lido_config config = of(1, 1);
    (void)state;
    check_int(lido_run(&config, wait_under_a_deadline, NULL), 0);
}

static int cancelled_in_section(void *arg)
{
    lido_within(1);
    check_int(lido_blocking(take_turn, arg), 1);
    check(lido_is_cancelled());
    check_int(lido_sleep(1), -ECANCELED);
    check_int(lido_blocking(seven, NULL), 7); /* there is capacity: nothing to wait for */
    return 0;
}

static int cancel_the_section(void *arg)
{
    struct line line = {0};
    (void)arg;
    line.turn[0] = (struct turn){.turns = &line.turns, .gate = &line.gate};
    lido_task *task = start(cancelled_in_section, &line.turn[0]);
    check_int(lido_yield(), 0);
    lido_cancel(task);
    check_int(lido_sleep(3), 0);
    check(!lido_task_is_done(task));
    gate_open(&line.gate);
    check_int(finish(task), 0);
    check_int(line.turns, 1);
    return 0;
}

static void a_section_that_runs_is_not_cut_short(void **state)
{
    (void)state;
    run(cancel_the_section);
}

static int block_within(void *arg)
{
    return lido_blocking(seven, arg);
}

static int several_with_capacity_for_one(void *arg)
{
    check_int(lido_blocking(block_within, arg), 7); /* counted once */
    check_int(lido_blocking(seven, arg), 7);
    check_int(lido_blocking(block_within, arg), 7);
    return 0;
}

static void one_time_gets_capacity_for_multiple_blocks(void **state)
{
    lido_config config = of(1, 1);
    (void)state;
    check_int(lido_run(&config, several_with_capacity_for_one, NULL), 0);
}

static int count_others(void *arg)
{
    uint32_t *others = arg;
    ++*others;
    return 0;
}

static int never_wait(void *arg)
{
    uint32_t others = 0;
    lido_task *task = start(count_others, &others);
    for (int i = 0; i < 1000 && !others; i++)
        check_int(lido_blocking(seven, arg), 7);
    check_int(others, 1);
    return finish(task);
}

/* Law 11; sections that do not block are operations that do not have to wait. */
static void sections_that_do_not_block_let_the_neighbours_run(void **state)
{
    (void)state;
    run(never_wait);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_a_runtime_it_just_runs),
        cmocka_unit_test(a_section_has_no_task_and_returns_its_result),
        cmocka_unit_test(the_poll_of_a_future_cannot_block),
        cmocka_unit_test(the_workers_other_tasks_go_on),
        cmocka_unit_test(a_fiber_returns_to_its_worker),
        cmocka_unit_test(other_executors_can_run_inside_blocking),
        cmocka_unit_test(notify_task_on_capacity),
        cmocka_unit_test(capacity_is_use_it_or_lose_it),
        cmocka_unit_test(the_wait_for_capacity_has_a_deadline),
        cmocka_unit_test(a_section_that_runs_is_not_cut_short),
        cmocka_unit_test(one_time_gets_capacity_for_multiple_blocks),
        cmocka_unit_test(sections_that_do_not_block_let_the_neighbours_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
