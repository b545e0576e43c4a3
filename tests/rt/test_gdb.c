/* A debugger sees where a fiber is: gdb, on this program itself. */
#include <stdio.h>

#include "support/runtime.h"

/* ---- What is debugged -------------------------------------------------------------------------------- */

__attribute__((noinline)) static int reached_the_depth(int depth)
{
    __asm__ volatile("" : : : "memory");
    return depth;
}

__attribute__((noinline)) static int one_level_of_many(int depth)
{
    check_int(lido_yield(), 0);
    /* Not known to the compiler, which would make a loop of it. */
    int (*volatile next)(int) = depth == 0 ? reached_the_depth : one_level_of_many;
    return next(depth - 1) + 1;
}

static int body_of_the_fiber(void *arg)
{
    return one_level_of_many(arg ? 1 : 3) != 4;
}

/* The fiber is entered from another one, and has been left and entered again since. */
static int start_the_fiber(void *arg)
{
    check_int(lido_spawn(NULL, body_of_the_fiber, arg), 0);
    for (int i = 0; i < 10; i++)
        check_int(lido_yield(), 0);
    return 0;
}

/* ---- The debugger ------------------------------------------------------------------------------------ */

static char transcript[65536];

/* False: it cannot be had here. */
static bool debug(const char *program)
{
    char command[4096];
    snprintf(
        command, sizeof(command),
        "ASAN_OPTIONS=detect_leaks=0 timeout 50 gdb -nx -batch -ex 'set debuginfod enabled off' "
        "-ex 'break reached_the_depth' -ex run -ex backtrace "
        "--args '%s' debuggee 2>&1",
        program);
    FILE *gdb = popen(command, "r");
    check(gdb != NULL);
    size_t length = fread(transcript, 1, sizeof(transcript) - 1, gdb);
    transcript[length] = '\0';
    pclose(gdb);
    return !strstr(transcript, "not found") && !strstr(transcript, "ptrace");
}

/* `text` from `where` on; fails the test if it is not there. */
static const char *find(const char *where, const char *text)
{
    const char *found = strstr(where, text);
    if (!found)
        fail_msg("no \"%s\" in: %s", text, transcript);
    return found;
}

static void a_backtrace_shows_the_whole_fiber_and_ends(void **state)
{
    (void)state;
    const char *text = find(transcript, "#0");
    text = find(text, "reached_the_depth");
    for (int depth = 0; depth < 4; depth++)
        text = find(text + 1, "one_level_of_many");
    text = find(text, "body_of_the_fiber");
    text = find(text, "fiber_main");
    const char *next = strchr(text, '\n');
    check(next != NULL);
    check(strncmp(next + 1, "#", 1) != 0); /* the bottom */
    if (strstr(transcript, "Backtrace stopped"))
        fail_msg("it does not end well: %s", transcript);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backtrace_shows_the_whole_fiber_and_ends),
    };
    if (argc > 1 && strcmp(argv[1], "debuggee") == 0) {
        run(start_the_fiber);
        return 0;
    }
    if (!debug(argv[0])) {
        printf("skipped: there is no gdb, or it may not trace: %s\n", transcript);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
