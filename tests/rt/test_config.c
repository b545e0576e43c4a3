/* Configuration: defaults, ranges, the operator's environment, and what is said of a mistake. */
#include <errno.h>

#include "os/os.h"
#include "rt/config.h"
#include "support/runtime.h"

static int no_environment(void **state)
{
    (void)state;
    unsetenv("LIDO_WORKERS");
    unsetenv("LIDO_SCHEDULER");
    unsetenv("LIDO_REACTOR");
    return 0;
}

static lido_config plain(void)
{
    return (lido_config)LIDO_CONFIG_INIT;
}

/* Refused, by the check and by both starts, with a text that has all of these in it. */
static void check_refused(const lido_config *config, const char *field, const char *value)
{
    char problem[200] = "";
    lido_runtime *untouched = NULL;
    check_int(lido_config_check(config, problem, sizeof(problem)), -EINVAL);
    if (!strstr(problem, field) || !strstr(problem, value))
        fail_msg("\"%s\" does not name %s and %s", problem, field, value);
    check_int(lido_config_check(config, NULL, 0), -EINVAL);
    check_int(lido_runtime_new(&untouched, config), -EINVAL);
    check(untouched == NULL);
    check_int(lido_run(config, NULL, NULL), -EINVAL);
}

static void check_accepted(const lido_config *config)
{
    char problem[200] = "";
    if (lido_config_check(config, problem, sizeof(problem)) != 0)
        fail_msg("refused: %s", problem);
}

/* ---- Defaults ------------------------------------------------------------------------------------- */

static void nothing_said_means_defaults(void **state)
{
    struct lido__settings settings;
    lido_config config = plain();
    (void)state;
    check_accepted(NULL);
    check_accepted(&config);
    check_int(lido__config_resolve(&settings, NULL, NULL, 0), 0);
    check_int(settings.config.workers, lido__cpu_count());
    check_string(settings.config.scheduler, "io-pool");
    check_string(settings.config.reactor, "epoll");
    check_string(settings.config.name_prefix, "lido-");
    check(settings.config.stack_size >= 64 << 10);
    check_int(settings.config.budget, 128);
    check_int(settings.config.placement, LIDO_PLACE_ROUND_ROBIN);
    check_int(settings.config.max_blocking, 100);
    check_int(settings.config.max_fs, 32);
    check_int(settings.config.max_dns, 16);
    check_int(settings.config.keep_alive_ms, 10000);
}

static int count_workers(void *arg)
{
    (void)arg;
    return lido_worker_count();
}

static void the_default_is_a_worker_for_each_cpu(void **state)
{
    (void)state;
    check_int(lido_run(NULL, count_workers, NULL), lido__cpu_count());
}

/* ---- Ranges --------------------------------------------------------------------------------------- */

static void each_field_has_its_range(void **state)
{
    (void)state;
    lido_config config = plain();
    config.workers = 32769;
    check_refused(&config, "workers", "32769");
    config.workers = UINT32_MAX;
    check_refused(&config, "workers", "4294967295");
    config = plain();
    config.scheduler = "lottery";
    check_refused(&config, "scheduler", "lottery");
    config = plain();
    config.reactor = "fusion";
    check_refused(&config, "reactor", "fusion");
    config = plain();
    config.stack_size = (16 << 10) - 1;
    check_refused(&config, "stack_size", "16383");
    config.stack_size = ((size_t)1 << 30) + 1;
    check_refused(&config, "stack_size", "1073741825");
    config.stack_size = SIZE_MAX;
    check_refused(&config, "stack_size", "18446744073709551615");
    config = plain();
    config.budget = 1000001;
    check_refused(&config, "budget", "1000001");
    config = plain();
    config.placement = LIDO_PLACE_LOCAL;
    check_refused(&config, "placement", "3");
    config.placement = (lido_placement)99;
    check_refused(&config, "placement", "99");
    config = plain();
    config.max_blocking = 32769;
    check_refused(&config, "max_blocking", "32769");
    config = plain();
    config.max_fs = 40000;
    check_refused(&config, "max_fs", "40000");
    config = plain();
    config.watch_ms = 3600001;
    check_refused(&config, "watch_ms", "3600001");
    config = plain();
    config.max_dns = UINT32_MAX;
    check_refused(&config, "max_dns", "4294967295");
}

static void the_ends_of_the_ranges_belong_to_them(void **state)
{
    (void)state;
    lido_config config = plain();
    config.workers = 32768;
    config.stack_size = (size_t)1 << 30;
    config.budget = 1000000;
    config.placement = LIDO_PLACE_LEAST_LOADED;
    config.max_blocking = config.max_fs = config.max_dns = 32768;
    config.keep_alive_ms = INT64_MAX;
    config.scheduler = "io-pool";
    config.reactor = "epoll";
    check_accepted(&config);
    config.workers = 1;
    config.stack_size = 16 << 10;
    config.budget = 1;
    config.placement = LIDO_PLACE_ROUND_ROBIN;
    config.max_blocking = config.max_fs = config.max_dns = 1;
    config.keep_alive_ms = -1;
    check_accepted(&config);
}

static int use_and_count(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        check_int(lido_yield(), 0);
    return lido_worker_count();
}

static void the_smallest_values_work(void **state)
{
    (void)state;
    lido_config config = plain();
    config.workers = 1;
    config.stack_size = UNDER_TSAN ? 0 : 16 << 10;
    config.budget = 1;
    check_int(lido_run(&config, use_and_count, NULL), 1);
}

/* ---- Sizes ---------------------------------------------------------------------------------------- */

static void a_config_without_a_size_is_refused(void **state)
{
    (void)state;
    lido_config config = {.workers = 1};
    check_refused(&config, "size", "LIDO_CONFIG_INIT");
    config.size = 1;
    check_refused(&config, "size", "1");
    config.size = SIZE_MAX;
    check_refused(&config, "size", "18446744073709551615");
}

static void an_older_config_has_defaults_for_what_it_lacks(void **state)
{
    struct lido__settings settings;
    (void)state;
    lido_config config = plain();
    config.size = offsetof(lido_config, scheduler);
    config.workers = 3;
    config.scheduler = "not read";
    check_int(lido__config_resolve(&settings, &config, NULL, 0), 0);
    check_int(settings.config.workers, 3);
    check_string(settings.config.scheduler, "io-pool");
}

static void a_newer_config_may_set_only_what_is_known(void **state)
{
    struct {
        lido_config config;
        uint64_t unknown;
    } newer = {LIDO_CONFIG_INIT, 0};
    (void)state;
    newer.config.size = sizeof(newer);
    check_accepted(&newer.config);
    newer.unknown = 1;
    check_refused(&newer.config, "size", "does not know");
}

static void the_text_of_a_problem_is_cut_to_fit(void **state)
{
    char problem[12] = "###########";
    (void)state;
    lido_config config = plain();
    config.budget = 5000000;
    check_int(lido_config_check(&config, problem, 8), -EINVAL);
    check_string(problem, "budget:");
    check_int(problem[8], '#');
    check_int(lido_config_check(&config, problem, 0), -EINVAL);
}

/* ---- The operator ------------------------------------------------------------------------------------ */

static void the_operator_overrides_the_program(void **state)
{
    (void)state;
    lido_config config = plain();
    config.workers = 2;
    config.scheduler = "lottery";
    config.reactor = "fusion";
    setenv("LIDO_WORKERS", "3", 1);
    setenv("LIDO_SCHEDULER", "io-pool", 1);
    setenv("LIDO_REACTOR", "epoll", 1);
    check_int(lido_run(&config, count_workers, NULL), 3);
    config.workers = 0;
    check_int(lido_run(&config, count_workers, NULL), 3);
}

static void an_empty_variable_says_nothing(void **state)
{
    (void)state;
    lido_config config = plain();
    config.workers = 2;
    setenv("LIDO_WORKERS", "", 1);
    setenv("LIDO_SCHEDULER", "", 1);
    setenv("LIDO_REACTOR", "", 1);
    check_int(lido_run(&config, count_workers, NULL), 2);
}

static void a_bad_variable_is_named(void **state)
{
    static const char *const numbers[] = {"0",   "-1",  "32769", "99999999999999999999",
                                          "two", "1x",  " 1",    "1 ",
                                          "0x2", "1.5", "+1",    "1e2",
                                          "1\n"};
    (void)state;
    lido_config config = plain();
    for (size_t i = 0; i < COUNT(numbers); i++) {
        setenv("LIDO_WORKERS", numbers[i], 1);
        check_refused(&config, "LIDO_WORKERS", numbers[i]);
    }
    unsetenv("LIDO_WORKERS");
    setenv("LIDO_SCHEDULER", "Io-Pool", 1);
    check_refused(&config, "LIDO_SCHEDULER", "Io-Pool");
    unsetenv("LIDO_SCHEDULER");
    setenv("LIDO_REACTOR", "select", 1);
    check_refused(&config, "LIDO_REACTOR", "select");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_said_means_defaults, no_environment),
        cmocka_unit_test_setup(the_default_is_a_worker_for_each_cpu, no_environment),
        cmocka_unit_test_setup(each_field_has_its_range, no_environment),
        cmocka_unit_test_setup(the_ends_of_the_ranges_belong_to_them, no_environment),
        cmocka_unit_test_setup(the_smallest_values_work, no_environment),
        cmocka_unit_test_setup(a_config_without_a_size_is_refused, no_environment),
        cmocka_unit_test_setup(an_older_config_has_defaults_for_what_it_lacks, no_environment),
        cmocka_unit_test_setup(a_newer_config_may_set_only_what_is_known, no_environment),
        cmocka_unit_test_setup(the_text_of_a_problem_is_cut_to_fit, no_environment),
        cmocka_unit_test_setup(the_operator_overrides_the_program, no_environment),
        cmocka_unit_test_setup(an_empty_variable_says_nothing, no_environment),
        cmocka_unit_test_setup(a_bad_variable_is_named, no_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
