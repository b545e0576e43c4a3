/*
 * Names. The C library's getaddrinfo is replaced by one of the test's own: it says what is to be said
 * about each name, and stays in a lookup for as long as the test wants.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "support/gate.h"
#include "support/net.h"

#define AT_ONCE_MAX 16 /* lido_config.max_dns by default */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;         /* lookups of "slow..." do not return */
    bool gate;         /* nor does that of "gate" */
    unsigned inside;   /* lookups that are in getaddrinfo */
    unsigned most;     /* the most that ever were */
    unsigned total;    /* lookups since the test began */
    char order[64][8]; /* the names, in the order of their lookups */
} script = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void enter(const char *host)
{
    pthread_mutex_lock(&script.lock);
    if (script.total < COUNT(script.order))
        snprintf(script.order[script.total], sizeof(script.order[0]), "%s", host);
    script.total++;
    if (++script.inside > script.most)
        script.most = script.inside;
    while ((script.held && strncmp(host, "slow", 4) == 0) ||
           (script.gate && strcmp(host, "gate") == 0))
        pthread_cond_wait(&script.changed, &script.lock);
    script.inside--;
    pthread_mutex_unlock(&script.lock);
}

static struct addrinfo *info_new(uint32_t host, const char *port, struct addrinfo *next)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } *both = calloc(1, sizeof(*both));
    check(both != NULL);
    both->address.sin_family = AF_INET;
    both->address.sin_addr.s_addr = htonl(host);
    both->address.sin_port = htons((uint16_t)(strcmp(port, "http") == 0 ? 80 : atoi(port)));
    both->info.ai_family = AF_INET;
    both->info.ai_addr = (struct sockaddr *)&both->address;
    both->info.ai_addrlen = sizeof(both->address);
    both->info.ai_next = next;
    return &both->info;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static const struct {
        const char *host;
        int error;
    } failures[] = {
        {"unknown", EAI_NONAME},     {"silent", EAI_AGAIN},     {"broken", EAI_SYSTEM},
        {"no-service", EAI_SERVICE}, {"no-memory", EAI_MEMORY},
    };
    check_int(hints->ai_socktype, SOCK_STREAM);
    enter(host ? host : "");
    for (size_t i = 0; host && i < COUNT(failures); i++)
        if (strcmp(host, failures[i].host) == 0) {
            errno = failures[i].error == EAI_SYSTEM ? EMFILE : EINVAL;
            return failures[i].error;
        }
    /* 127.0.0.3, then .2, then .1 */
    *found = NULL;
    for (uint32_t i = 1; i <= 3; i++)
        *found = info_new(0x7f000000 + i, port, *found);
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

static void script_begin(bool held)
{
    pthread_mutex_lock(&script.lock);
    script.held = held;
    script.gate = true;
    script.most = script.total = 0;
    pthread_mutex_unlock(&script.lock);
}

static void script_release(void)
{
    pthread_mutex_lock(&script.lock);
    script.held = false;
    pthread_cond_broadcast(&script.changed);
    pthread_mutex_unlock(&script.lock);
}

static void script_open_gate(void)
{
    pthread_mutex_lock(&script.lock);
    script.gate = false;
    pthread_cond_broadcast(&script.changed);
    pthread_mutex_unlock(&script.lock);
}

static unsigned lookups_so_far(void)
{
    pthread_mutex_lock(&script.lock);
    unsigned total = script.total;
    pthread_mutex_unlock(&script.lock);
    return total;
}

static bool inside_is(void *count)
{
    pthread_mutex_lock(&script.lock);
    bool is = script.inside == *(unsigned *)count;
    pthread_mutex_unlock(&script.lock);
    return is;
}

static void await_inside(unsigned count)
{
    await_that(inside_is, &count);
}

/* ---- Results ------------------------------------------------------------------------------------ */

static int resolve_names(void *arg)
{
    lido_address addresses[5];
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    script_begin(false);
    check_int(lido_resolve("host:443", addresses, 5), 3);
    lido_address_format(&addresses[0], text, sizeof(text));
    check_string(text, "127.0.0.3:443");
    lido_address_format(&addresses[2], text, sizeof(text));
    check_string(text, "127.0.0.1:443");
    check_int(lido_resolve("host:443", addresses, 2), 2);
    check_int(lido_resolve("host:http", addresses, 1), 1);
    check_int(lido_address_port(&addresses[0]), 80);
    check_int(lido_resolve("127.0.0.1:http", addresses, 1), 1);
    return 0;
}

static void a_name_resolves_to_its_addresses_in_order(void **state)
{
    (void)state;
    run(resolve_names);
}

static int resolve_service_of_any(void *arg)
{
    lido_address addresses[5];
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    script_begin(false);
    check_int(lido_resolve("*:http", addresses, 5), 2);
    lido_address_format(&addresses[0], text, sizeof(text));
    check_string(text, "[::]:80");
    lido_address_format(&addresses[1], text, sizeof(text));
    check_string(text, "0.0.0.0:80");
    return 0;
}

static void a_service_may_stand_for_the_port_of_any(void **state)
{
    (void)state;
    run(resolve_service_of_any);
}

static int resolve_failures(void *arg)
{
    lido_address address;
    lido_stream *stream;
    lido_listener *listener;
    (void)arg;
    script_begin(false);
    check_int(lido_resolve("unknown:80", &address, 1), -ENOENT);
    check_int(lido_resolve("silent:80", &address, 1), -EAGAIN);
    check_int(lido_resolve("broken:80", &address, 1), -EMFILE);
    check_int(lido_resolve("no-memory:80", &address, 1), -ENOMEM);
    check_int(lido_resolve("no-service:ftp", &address, 1), -EINVAL);
    check_int(lido_connect_tcp(&stream, "unknown:80"), -ENOENT);
    check_int(lido_connect_tcp_from(&stream, "127.0.0.1:80", "unknown:0"), -ENOENT);
    check_int(lido_listen_tcp(&listener, "unknown:80"), -ENOENT);
    return 0;
}

static void each_failure_of_a_lookup_has_its_error(void **state)
{
    (void)state;
    run(resolve_failures);
}

static int resolve_digits(void *arg)
{
    lido_address address;
    (void)arg;
    script_begin(true);
    check_int(lido_resolve("127.0.0.1:80", &address, 1), 1);
    check_int(lido_resolve("[::1]:80", &address, 1), 1);
    check_int(lido_resolve("*:80", &address, 1), 1);
    check_int(lookups_so_far(), 0);
    return 0;
}

static void digits_are_not_looked_up(void **state)
{
    (void)state;
    run(resolve_digits);
}

/* ---- Waiting ------------------------------------------------------------------------------------ */

static int look_up(void *host_port)
{
    lido_address address;
    return lido_resolve(host_port, &address, 1);
}

static int neighbour(void *arg)
{
    *(bool *)arg = true;
    script_release();
    return 0;
}

static int wait_beside(void *arg)
{
    bool ran = false;
    (void)arg;
    script_begin(true);
    lido_task *task = start(neighbour, &ran);
    check_int(look_up("slow:80"), 1);
    check(ran);
    return finish(task);
}

static void other_tasks_run_during_a_lookup(void **state)
{
    (void)state;
    run(wait_beside);
}

#define MANY 40

static int look_up_many(void *arg)
{
    lido_task *tasks[MANY];
    char names[MANY][16];
    (void)arg;
    script_begin(true);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "slow%u:1", i);
        tasks[i] = start(look_up, names[i]);
    }
    await_inside(AT_ONCE_MAX);
    for (int i = 0; i < 100; i++)
        check_int(lido_yield(), 0);
    check_int(lookups_so_far(), AT_ONCE_MAX);
    script_release();
    for (unsigned i = 0; i < MANY; i++)
        check_int(finish(tasks[i]), 1);
    check_int(lookups_so_far(), MANY);
    check_int(script.most, AT_ONCE_MAX);
    return 0;
}

static void at_most_sixteen_names_are_looked_up_at_once(void **state)
{
    (void)state;
    run(look_up_many);
    run_on(2, look_up_many, NULL);
}

/* All threads are held, then one is let go: it makes all that wait, one after the other. */
static int look_up_in_order(void *arg)
{
    lido_task *held[AT_ONCE_MAX], *waiting[MANY];
    char names[MANY][8];
    (void)arg;
    script_begin(true);
    for (unsigned i = 0; i < AT_ONCE_MAX; i++)
        held[i] = start(look_up, i ? "slow:1" : "gate:1");
    await_inside(AT_ONCE_MAX);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u:1", i);
        waiting[i] = start(look_up, names[i]);
    }
    check_int(lido_yield(), 0);
    lido_cancel(waiting[7]);
    check_int(finish(waiting[7]), -ECANCELED);
    script_open_gate();
    unsigned nth = AT_ONCE_MAX;
    for (unsigned i = 0; i < MANY; i++) {
        if (i == 7)
            continue;
        check_int(finish(waiting[i]), 1);
        *strchr(names[i], ':') = 0;
        check_string(script.order[nth++], names[i]);
    }
    check_int(lookups_so_far(), AT_ONCE_MAX + MANY - 1);
    script_release();
    for (unsigned i = 0; i < AT_ONCE_MAX; i++)
        check_int(finish(held[i]), 1);
    return 0;
}

static void lookups_that_wait_are_made_in_order_without_those_that_were_cancelled(void **state)
{
    (void)state;
    run(look_up_in_order);
}

static int cancel_inside(void *arg)
{
    int result;
    (void)arg;
    script_begin(true);
    lido_task *task = start(look_up, "slow:80");
    await_inside(1);
    check_int(lido_stop(task, &result), 0); /* and the lookup is still held */
    check_int(result, -ECANCELED);
    check(inside_is(&(unsigned){1}));
    script_release();
    await_inside(0);
    return 0;
}

static void a_cancelled_lookup_returns_while_the_thread_is_stuck(void **state)
{
    (void)state;
    run(cancel_inside);
}

static int hold_worker_until_inside(void *arg)
{
    (void)arg;
    while (!inside_is(&(unsigned){1}))
        sched_yield();
    return 0;
}

/* The deadline is not noticed before the lookup has begun. */
static int leave_inside(void *arg)
{
    (void)arg;
    script_begin(true);
    lido_task *holder = start(hold_worker_until_inside, NULL);
    {
        lido_within(1);
        check_int(look_up("slow:80"), -ETIMEDOUT);
    }
    return finish(holder);
}

static void a_lookup_past_its_deadline_outlives_its_runtime(void **state)
{
    (void)state;
    run(leave_inside);
    assert_true(inside_is(&(unsigned){1}));
    script_release();
    run_on(1, resolve_names, NULL); /* and the next is not disturbed by it */
}

static int pass(void *arg)
{
    gate_pass(arg);
    return 0;
}

static int open_gate(void *arg)
{
    gate_open(arg);
    return 0;
}

/* Its caller is idle by then, and would be the first to be called. */
static int lose_worker_and_leave(void *arg)
{
    struct gate gate = {0};
    lido_task *task = start(open_gate, &gate);
    check_int(lido_blocking(pass, &gate), 0);
    check_int(finish(task), 0);
    return leave_inside(arg);
}

static void a_lookup_does_not_hold_the_caller_of_lido_run(void **state)
{
    (void)state;
    run(lose_worker_and_leave);
    assert_true(inside_is(&(unsigned){1}));
    script_release();
    run_on(1, resolve_names, NULL);
}

static int read_file(void *arg)
{
    (void)arg;
    return 0;
}

static int look_up_beside_files(void *arg)
{
    lido_blocking_options files = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *tasks[3], *file;
    (void)arg;
    script_begin(true);
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(look_up, "slow:80");
    await_inside(2);
    files.pool = LIDO_POOL_FS;
    check_int(lido_spawn_blocking_with(&file, read_file, NULL, &files), 0);
    check_int(finish(file), 0);
    check_int(lookups_so_far(), 2);
    script_release();
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 1);
    check_int(script.most, 2);
    return 0;
}

static void lookups_have_a_limit_of_their_own(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1;
    config.max_dns = 2;
    check_int(lido_run(&config, look_up_beside_files, NULL), 0);
}

static int cancelled_before(void *arg)
{
    (void)arg;
    lido_cancel(lido_self());
    check_int(look_up("host:80"), -ECANCELED);
    check_int(lookups_so_far(), 0);
    return 0;
}

static void a_cancelled_task_looks_nothing_up(void **state)
{
    (void)state;
    script_begin(false);
    run(cancelled_before);
}

/* ---- What is built on it ------------------------------------------------------------------------ */

/* Connects to "host:PORT" while one of its three addresses listens, and tells the peer. */
static void check_connects_to(const char *listening)
{
    lido_listener *listener;
    lido_stream *stream;
    lido_address peer;
    char host_port[32], text[LIDO_ADDRESS_TEXT], expected[LIDO_ADDRESS_TEXT];
    snprintf(text, sizeof(text), "%s:0", listening);
    check_int(lido_listen_tcp(&listener, text), 0);
    lido_address address = net_address(listener);
    check_int(lido_address_format(&address, expected, sizeof(expected)), 0);
    snprintf(host_port, sizeof(host_port), "host:%u", lido_address_port(&address));
    check_int(lido_connect_tcp(&stream, host_port), 0);
    check_int(lido_stream_peer_address(stream, &peer), 0);
    check_int(lido_address_format(&peer, text, sizeof(text)), 0);
    check_string(text, expected);
    lido_close(stream);
    lido_listener_close(listener);
}

static int try_all(void *arg)
{
    (void)arg;
    script_begin(false);
    check_connects_to("127.0.0.3");
    check_connects_to("127.0.0.2");
    check_connects_to("127.0.0.1");
    return 0;
}

static void all_addresses_of_a_name_are_tried_in_turn(void **state)
{
    (void)state;
    run(try_all);
}

static int other_families(void *arg)
{
    lido_stream *stream;
    (void)arg;
    script_begin(false);
    check_int(lido_connect_tcp_from(&stream, "host:9", "[::1]:0"), -EADDRNOTAVAIL);
    return 0;
}

static void a_source_of_another_family_than_all_addresses_is_eaddrnotavail(void **state)
{
    (void)state;
    run(other_families);
}

static int listen_on_name(void *arg)
{
    lido_listener *listener;
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    script_begin(false);
    check_int(lido_listen_tcp(&listener, "host:0"), 0);
    lido_address address = net_address(listener);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check(strncmp(text, "127.0.0.3:", 10) == 0);
    lido_listener_close(listener);
    return 0;
}

static void a_listener_is_on_the_first_address_of_a_name(void **state)
{
    (void)state;
    run(listen_on_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_resolves_to_its_addresses_in_order),
        cmocka_unit_test(a_service_may_stand_for_the_port_of_any),
        cmocka_unit_test(each_failure_of_a_lookup_has_its_error),
        cmocka_unit_test(digits_are_not_looked_up),
        cmocka_unit_test(other_tasks_run_during_a_lookup),
        cmocka_unit_test(at_most_sixteen_names_are_looked_up_at_once),
        cmocka_unit_test(lookups_that_wait_are_made_in_order_without_those_that_were_cancelled),
        cmocka_unit_test(a_cancelled_lookup_returns_while_the_thread_is_stuck),
        cmocka_unit_test(a_lookup_past_its_deadline_outlives_its_runtime),
        cmocka_unit_test(a_lookup_does_not_hold_the_caller_of_lido_run),
        cmocka_unit_test(lookups_have_a_limit_of_their_own),
        cmocka_unit_test(a_cancelled_task_looks_nothing_up),
        cmocka_unit_test(all_addresses_of_a_name_are_tried_in_turn),
        cmocka_unit_test(a_listener_is_on_the_first_address_of_a_name),
        cmocka_unit_test(a_source_of_another_family_than_all_addresses_is_eaddrnotavail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
