/* Looking up names when threads cannot be had. getaddrinfo is the test's own: it stays where it is. */
#include <errno.h>
#include <netdb.h>

#include "base/fault.h"
#include "support/gate.h"
#include "support/runtime.h"

static struct gate answers;
static struct flag inside, outside;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)host;
    (void)port;
    (void)hints;
    (void)found;
    flag_raise(&inside);
    gate_pass(&answers);
    flag_raise(&outside);
    return EAI_NONAME;
}

static int look_up(void *arg)
{
    lido_address address;
    (void)arg;
    return lido_resolve("name:80", &address, 1);
}

static void give_up(lido_task *task)
{
    int result;
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
}

/* The second waits for the thread of the first. */
static int give_two_up(void *arg)
{
    (void)arg;
    lido_task *first = start(look_up, NULL);
    while (!flag_is_up(&inside))
        check_int(lido_sleep(1), 0);
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    lido_task *second = start(look_up, NULL);
    while (!lido__fault_hit())
        check_int(lido_yield(), 0);
    give_up(first);
    give_up(second);
    return 0;
}

/* Memory that is left is found by AddressSanitizer. */
static void a_lookup_that_never_began_ends_with_its_runtime(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1; /* the caller's: it does not look names up */
    check_int(lido_run(&config, give_two_up, NULL), 0);
    lido__fault_clear();
    gate_open(&answers);
    flag_await(&outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_that_never_began_ends_with_its_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
