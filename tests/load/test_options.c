/* What lido-load says of its command line. */
#include "load/running.h"

static void wrong_options_are_named(void **state)
{
    static const struct {
        const char *words[4];
        const char *says;
    } cases[] = {
        {{"-c", "0", "h:1"}, "--connections 0: must be a number from 1"},
        {{"-n", "-5", "h:1"}, "--requests -5: must be a number from 1"},
        {{"-d", "5x", "h:1"}, "--duration 5x: must be a time"},
        {{"-r", "inf", "h:1"}, "--rate inf: must be a number"},
        {{"--protocol", "ftp", "h:1"}, "--protocol ftp: must be echo"},
        {{"-w", "2", "h:1"}, "--workers 2: there are no more connections than 1"},
        {{"-s", "4", "udp:h:1"}, "--size 4: a datagram has from 8"},
        {{"--churn", "-P2", "h:1"}, "--depth: with --churn"},
        {{"--spin", "h:1"}, "--spin: is for --rate only"},
        {{"h:1", "more"}, "what is \"more\""},
        {{NULL}, "ADDRESS of the server is missing"},
        {{"nonsense"}, "nonsense: must be HOST:PORT"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        run_load(cases[i].words, 2);
        if (!strstr(program.err, cases[i].says))
            fail_msg("it does not say \"%s\" but: %s", cases[i].says, program.err);
        program_fini(&program);
    }
}

static void help_and_version_are_no_errors(void **state)
{
    (void)state;
    run_load(WORDS("--help"), 0);
    assert_non_null(strstr(program.out, "usage: lido-load"));
    program_fini(&program);
    run_load(WORDS("--version"), 0);
    assert_non_null(strstr(program.out, lido_version_string()));
    program_fini(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(help_and_version_are_no_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
