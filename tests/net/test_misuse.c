/* What a program must not do with a stream, listener or datagram socket ends it with a text. */
#include <signal.h>
#include <sys/wait.h>

#include "support/death.h"
#include "support/net.h"

static int close_stream_twice(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    lido_close(pair[0]);
    lido_close(pair[0]);
    return 0;
}

static int close_listener_twice(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    lido_listener_close(listener);
    lido_listener_close(listener);
    return 0;
}

static int close_datagrams_twice(void *arg)
{
    lido_datagram *pair[2];
    (void)arg;
    check_int(lido_datagram_pair(pair), 0);
    lido_datagram_close(pair[1]);
    lido_datagram_close(pair[1]);
    return 0;
}

static int give_away_after_close(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    lido_close(pair[0]);
    return lido_stream_into_fd(pair[0]);
}

static int read_after_close(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_unix_pair(pair);
    lido_close(pair[0]);
    return (int)lido_read(pair[0], &byte, 1);
}

static int write_after_close(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_close(pair[0]);
    return (int)lido_write(pair[0], "x", 1);
}

static int copy_after_close(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_close(pair[0]);
    return (int)lido_copy(pair[0], pair[0], NULL);
}

static int accept_after_close(void *arg)
{
    lido_listener *listener = net_listen();
    lido_stream *stream;
    (void)arg;
    lido_listener_close(listener);
    return lido_accept(listener, &stream, NULL);
}

static void run_misuse(void *fn)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    lido_run(&config, *(lido_fn *)fn, NULL);
}

static void check_abort(lido_fn fn, const char *text)
{
    struct death death;
    death_of(run_misuse, &fn, &death);
    check_int(WIFSIGNALED(death.status), 1);
    check_int(WTERMSIG(death.status), SIGABRT);
    check(strstr(death.told, text) != NULL);
}

static void a_second_close_aborts_with_a_text(void **state)
{
    (void)state;
    check_abort(close_stream_twice, "closed twice");
    check_abort(close_listener_twice, "closed twice");
    check_abort(close_datagrams_twice, "closed twice");
    check_abort(give_away_after_close, "closed");
}

static void use_after_close_aborts_with_a_text(void **state)
{
    (void)state;
    check_abort(read_after_close, "used after its close");
    check_abort(write_after_close, "used after its close");
    check_abort(copy_after_close, "used after its close");
    check_abort(accept_after_close, "used after its close");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_close_aborts_with_a_text),
        cmocka_unit_test(use_after_close_aborts_with_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
