/*
 * Everything that tasks can do to each other, at random, from workers and from outside, with an exact
 * account: what was accepted has run to its end, each join got the result of its task, no sleep
 * was short. The seed is printed; LIDO_TEST_SEED=N repeats a run as far as threads allow.
 */
#include <errno.h>
#include <stdio.h>

#include "base/list.h"
#include "os/os.h"
#include "support/runtime.h"

enum { ROUNDS = UNDER_TSAN ? 12 : 40, SPAWNS = UNDER_TSAN ? 1500 : 8000, SLOTS = 16, THREADS = 2 };

/* A handle on its way from one owner to the next. */
struct ticket {
    lido_task *task;
    int id; /* and its task's result */
};

static struct {
    lido_runtime *runtime;
    unsigned workers;
    struct flag ending; /* nothing new from outside */

    /* Relaxed counters. */
    uint32_t spawns; /* tried */
    uint32_t accepted;
    uint32_t refused;
    uint32_t ended;
    uint32_t joined;

    struct ticket *tickets[SLOTS];
    lido_waker *wakers[SLOTS];
} world;

/* ---- Chance ------------------------------------------------------------------------------------- */

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % below;
}

static uint32_t first_seed(void)
{
    const char *given = getenv("LIDO_TEST_SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 0) : (uint32_t)(lido_now() >> 8);
    return seed ? seed : 1;
}

static void count(uint32_t *what)
{
    lido__fetch_add(what, 1, LIDO__RELAXED);
}

/* ---- Handles that go from hand to hand ------------------------------------------------------------- */

static void take_result(struct ticket *ticket, int result)
{
    check_int(result, ticket->id);
    count(&world.joined);
    free(ticket);
}

static void join(struct ticket *ticket)
{
    int result;
    check_int(lido_join(ticket->task, &result), 0);
    take_result(ticket, result);
}

static void stop(struct ticket *ticket)
{
    int result;
    check_int(lido_stop(ticket->task, &result), 0);
    take_result(ticket, result);
}

/* In a task it may be the caller's own handle, or that of one who waits for the caller: so this does not
   wait for ever. */
static void join_for_a_while(struct ticket *ticket, uint32_t *seed)
{
    int result;
    lido_within(draw(seed, 3));
    int r = lido_join(ticket->task, &result);
    if (r == 0) {
        take_result(ticket, result);
        return;
    }
    check(r == -ETIMEDOUT || r == -ECANCELED || r == -EDEADLK);
    lido_detach(ticket->task);
    free(ticket);
}

static void dispose(struct ticket *ticket, uint32_t *seed)
{
    if (draw(seed, 2))
        lido_cancel(ticket->task);
    if (lido_self())
        join_for_a_while(ticket, seed);
    else if (draw(seed, 2))
        join(ticket);
    else
        stop(ticket);
}

/* Leaves a handle for anybody, and takes what was left there before. */
static void pass_on(struct ticket *ticket, uint32_t *seed)
{
    ticket = lido__exchange(&world.tickets[draw(seed, SLOTS)], ticket, LIDO__ACQ_REL);
    if (ticket)
        dispose(ticket, seed);
}

/* ---- Wakers that go from hand to hand --------------------------------------------------------------- */

static void use_waker(lido_waker *waker)
{
    if (!waker)
        return;
    lido_waker_wake(waker);
    lido_waker_drop(waker);
    free(waker);
}

static void pass_waker(lido_waker *waker, uint32_t *seed)
{
    use_waker(lido__exchange(&world.wakers[draw(seed, SLOTS)], waker, LIDO__ACQ_REL));
}

/* ---- Tasks -------------------------------------------------------------------------------------------- */

struct node {
    lido_future future;
    lido_timer timer;
    uint64_t until;
    uint32_t seed;
    int id;
    int depth;
    int polls;
};

static int end_node(struct node *node)
{
    int id = node->id;
    free(node);
    count(&world.ended);
    return id;
}

static int node_poll(lido_future *future, const lido_waker *waker)
{
    struct node *node = lido__container_of(future, struct node, future);
    if (node->polls++ == 0) {
        node->until = lido_now() + draw(&node->seed, 2000000);
        lido_timer_start_at(&node->timer, node->until);
    }
    int r = lido_timer_poll(&node->timer, waker);
    if (r != LIDO_PENDING) {
        check(r == 0 || r == -ECANCELED || r == -ETIMEDOUT);
        check(r != 0 || lido_now() >= node->until);
        return end_node(node);
    }
    if (node->polls < 5) {
        lido_waker *own = malloc(sizeof(*own));
        check(own != NULL);
        *own = lido_waker_clone(waker);
        pass_waker(own, &node->seed);
    }
    return LIDO_PENDING;
}

static int live(void *arg);

static struct node *new_node(uint32_t *seed, int depth)
{
    struct node *node = malloc(sizeof(*node));
    check(node != NULL);
    *node = (struct node){.future = {node_poll}, .depth = depth};
    node->id = (int)draw(seed, 1u << 30);
    node->seed = draw(seed, UINT32_MAX) | 1;
    return node;
}

/* The handle of a new task, or NULL. */
static struct ticket *spawn(uint32_t *seed, int depth)
{
    static const lido_placement placements[] = {LIDO_PLACE_DEFAULT, LIDO_PLACE_LOCAL,
                                                LIDO_PLACE_WORKER, LIDO_PLACE_LEAST_LOADED,
                                                LIDO_PLACE_ROUND_ROBIN};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    struct ticket *ticket = malloc(sizeof(*ticket));
    struct node *node = new_node(seed, depth);
    check(ticket != NULL);
    options.placement = placements[draw(seed, COUNT(placements))];
    options.worker = draw(seed, world.workers);
    ticket->id = node->id;
    count(&world.spawns);
    int r = draw(seed, 3)
                ? lido_runtime_spawn_with(world.runtime, &ticket->task, live, node, &options)
                : lido_spawn_future_at(world.runtime, &ticket->task, &node->future, &options,
                                       LIDO_HERE);
    if (r == 0) {
        count(&world.accepted);
        return ticket;
    }
    check_int(r, -ESHUTDOWN);
    count(&world.refused);
    free(node);
    free(ticket);
    return NULL;
}

static bool may_spawn(void)
{
    return lido__load(&world.spawns, LIDO__RELAXED) < SPAWNS;
}

static void wait_somehow(uint32_t *seed)
{
    uint64_t until = lido_now() + draw(seed, 1500000);
    int r;
    switch (draw(seed, 4)) {
    case 0: r = lido_yield(); break;
    case 1: r = lido_sleep(draw(seed, 3)); break;
    default: r = lido_sleep_until(until); check(r != 0 || lido_now() >= until);
    }
    check(r == 0 || r == -ECANCELED || r == -ETIMEDOUT);
}

/* A child of one's own, which holds no handle of its parent's that it waits for without end. */
static void raise_child(struct node *node)
{
    struct ticket *child = spawn(&node->seed, node->depth + 1);
    if (!child)
        return;
    switch (draw(&node->seed, 4)) {
    case 0: stop(child); break;
    case 1: join_for_a_while(child, &node->seed); break;
    case 2:
        lido_detach(child->task);
        free(child);
        break;
    default: pass_on(child, &node->seed);
    }
}

static void act(struct node *node)
{
    uint32_t *seed = &node->seed;
    switch (draw(seed, 6)) {
    case 0:
    case 1:
        if (node->depth < 5 && may_spawn())
            raise_child(node);
        break;
    case 2: pass_waker(NULL, seed); break;
    case 3: pass_on(NULL, seed); break;
    default: wait_somehow(seed);
    }
}

static int live(void *arg)
{
    struct node *node = arg;
    lido_within(draw(&node->seed, 4) ? 60000 : draw(&node->seed, 4));
    for (uint32_t steps = draw(&node->seed, 8); steps > 0; steps--)
        act(node);
    return end_node(node);
}

/* ---- Outside ------------------------------------------------------------------------------------------ */

static void *meddle(void *arg)
{
    uint32_t seed = *(uint32_t *)arg;
    while (!flag_is_up(&world.ending) && may_spawn()) {
        struct ticket *ticket = draw(&seed, 2) ? spawn(&seed, 0) : NULL;
        pass_on(ticket, &seed);
        pass_waker(NULL, &seed);
    }
    return NULL;
}

static void empty_slots(uint32_t *seed)
{
    for (int i = 0; i < SLOTS; i++) {
        struct ticket *ticket = lido__exchange(&world.tickets[i], NULL, LIDO__ACQ_REL);
        if (ticket)
            dispose(ticket, seed);
        use_waker(lido__exchange(&world.wakers[i], NULL, LIDO__ACQ_REL));
    }
}

static void play(uint32_t *seed)
{
    uint32_t seeds[THREADS];
    pthread_t threads[THREADS];
    memset(&world, 0, sizeof(world));
    world.workers = 1 + draw(seed, 4);
    world.runtime = runtime_of(world.workers);
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = draw(seed, UINT32_MAX) | 1;
        threads[i] = thread_start(meddle, &seeds[i]);
    }
    lido_shutdown_how how = draw(seed, 2) ? LIDO_SHUTDOWN_NOW : LIDO_SHUTDOWN_ON_IDLE;
    if (how == LIDO_SHUTDOWN_NOW) {
        while (lido__load(&world.ended, LIDO__RELAXED) < SPAWNS / 2)
            lido__thread_yield();
        flag_raise(&world.ending);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    check_int(lido_shutdown(world.runtime, how, -1, NULL, NULL), 0);
    check_int(world.ended, world.accepted);
    check_int(world.spawns, world.accepted + world.refused);
    check(world.refused == 0 || how == LIDO_SHUTDOWN_NOW);
    check(world.joined > 0 && world.joined <= world.ended);
    empty_slots(seed); /* handles and wakers outlive their runtime */
}

static void the_account_is_right(void **state)
{
    uint32_t seed = first_seed();
    (void)state;
    printf("LIDO_TEST_SEED=%u\n", seed);
    fflush(stdout);
    for (int round = 0; round < ROUNDS; round++)
        play(&seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_account_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
