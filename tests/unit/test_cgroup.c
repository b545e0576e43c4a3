/* The parser of cpu quotas, fed with strings, and the cpu functions on the real machine. */
#define _GNU_SOURCE

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "os/cgroup.h"
#include "os/os.h"

struct file {
    const char *path;
    const char *text;
};

/* The file system of the running test; ends with a path of NULL. */
static const struct file *files;

static bool read_fed(const char *path, char *text, size_t size)
{
    for (const struct file *file = files; file->path; file++)
        if (strcmp(file->path, path) == 0)
            return snprintf(text, size, "%s", file->text) < (int)size;
    return false;
}

#define CPUS(...)                                                                                  \
    (files = (const struct file[]){__VA_ARGS__, {NULL, NULL}}, lido__cgroup_cpus(read_fed))

static void without_control_groups_there_is_no_quota(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/nothing", ""}), LIDO__CGROUP_NO_QUOTA);
    assert_int_equal(CPUS({"/proc/self/cgroup", ""}), LIDO__CGROUP_NO_QUOTA);
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/\n"}), LIDO__CGROUP_NO_QUOTA);
}

static void v2_quota_of_the_own_group_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/app\n"},
                          {"/sys/fs/cgroup/app/cpu.max", "150000 100000\n"}),
                     2);
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/app\n"},
                          {"/sys/fs/cgroup/app/cpu.max", "200000 100000\n"}),
                     2);
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/app\n"},
                          {"/sys/fs/cgroup/app/cpu.max", "1000 100000\n"}),
                     1);
}

static void v2_max_is_no_quota(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/app\n"},
                          {"/sys/fs/cgroup/app/cpu.max", "max 100000\n"}),
                     LIDO__CGROUP_NO_QUOTA);
}

static void the_lowest_quota_of_all_ancestors_counts(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/a/b/c\n"},
                          {"/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"},
                          {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                          {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"},
                          {"/sys/fs/cgroup/cpu.max", "400000 100000\n"}),
                     3);
}

/* A container whose /proc shows the host's path finds its own quota at the root of its mount. */
static void a_path_that_only_the_host_knows_falls_back_to_the_root(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "0::/docker/0123456789abcdef\n"},
                          {"/sys/fs/cgroup/cpu.max", "250000 100000\n"}),
                     3);
}

static void v1_quota_is_found_among_the_controllers(void **state)
{
    (void)state;
    static const char membership[] = "12:cpuset:/x\n5:cpuacct,cpu:/app\n1:name=systemd:/y\n";
    assert_int_equal(CPUS({"/proc/self/cgroup", membership},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "350000\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n"},
                          {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                          {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}),
                     4);
}

/* "cpuset" and "cpuacct" begin like "cpu". */
static void v1_controllers_are_compared_whole(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "3:cpuset,cpuacct:/app\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "100000\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n"}),
                     LIDO__CGROUP_NO_QUOTA);
}

static void v1_minus_one_is_no_quota(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "5:cpu:/app\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "-1\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n"}),
                     LIDO__CGROUP_NO_QUOTA);
}

static void with_v1_and_v2_the_lower_quota_counts(void **state)
{
    (void)state;
    assert_int_equal(CPUS({"/proc/self/cgroup", "5:cpu:/app\n0::/app\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "500000\n"},
                          {"/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n"},
                          {"/sys/fs/cgroup/app/cpu.max", "200000 100000\n"}),
                     2);
}

static void nonsense_is_no_quota(void **state)
{
    (void)state;
    static const char *const values[] = {
        "", "\n", "max", "100000", "100000 0\n", "0 100000\n", "-5 100000\n", "a b\n",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_int_equal(CPUS({"/proc/self/cgroup", "0::/app\n"},
                              {"/sys/fs/cgroup/app/cpu.max", values[i]}),
                         LIDO__CGROUP_NO_QUOTA);
    assert_int_equal(CPUS({"/proc/self/cgroup", "\n:\n::\nno colons\n7:cpu\n"}),
                     LIDO__CGROUP_NO_QUOTA);
}

static void a_path_that_is_too_long_still_reads_the_root(void **state)
{
    (void)state;
    static char membership[4096];
    memset(membership, 'x', sizeof(membership) - 2);
    memcpy(membership, "0::/", 4);
    membership[sizeof(membership) - 2] = '\n';
    assert_int_equal(
        CPUS({"/proc/self/cgroup", membership}, {"/sys/fs/cgroup/cpu.max", "100000 100000\n"}), 1);
}

static void the_machine_has_a_cpu_and_not_more_than_the_mask_allows(void **state)
{
    (void)state;
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
    assert_in_range(lido__cpu_count(), 1, CPU_COUNT(&mask));
}

static void cpu_nth_goes_round_the_cpus_of_the_mask(void **state)
{
    (void)state;
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
    unsigned count = (unsigned)CPU_COUNT(&mask);
    for (unsigned n = 0; n < count; n++) {
        int cpu = lido__cpu_nth(n);
        assert_true(CPU_ISSET(cpu, &mask));
        assert_int_equal(lido__cpu_nth(n + count), cpu);
        CPU_CLR(cpu, &mask); /* each once */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_control_groups_there_is_no_quota),
        cmocka_unit_test(v2_quota_of_the_own_group_is_rounded_up),
        cmocka_unit_test(v2_max_is_no_quota),
        cmocka_unit_test(the_lowest_quota_of_all_ancestors_counts),
        cmocka_unit_test(a_path_that_only_the_host_knows_falls_back_to_the_root),
        cmocka_unit_test(v1_quota_is_found_among_the_controllers),
        cmocka_unit_test(v1_controllers_are_compared_whole),
        cmocka_unit_test(v1_minus_one_is_no_quota),
        cmocka_unit_test(with_v1_and_v2_the_lower_quota_counts),
        cmocka_unit_test(nonsense_is_no_quota),
        cmocka_unit_test(a_path_that_is_too_long_still_reads_the_root),
        cmocka_unit_test(the_machine_has_a_cpu_and_not_more_than_the_mask_allows),
        cmocka_unit_test(cpu_nth_goes_round_the_cpus_of_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
