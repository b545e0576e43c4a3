/*
 * Expands each macro of lido.h once, in the C that is also C++; tools/check-headers compiles it with each version
 * of both, and sees that no macro is missing here. It is never run.
 */
#include <lido.h>

#if LIDO_VERSION_MAJOR < 0 || LIDO_VERSION_MINOR < 0 || LIDO_VERSION_PATCH < 0
#error "a version is not negative"
#endif

#ifndef LIDO_H
#error "lido.h has lost its guard"
#endif

static const char *const texts[] = {LIDO_HERE, LIDO_STRING(LIDO_STRING_OF)};
static const int LIDO_JOINED(bit, s)[] = {LIDO_READABLE, LIDO_WRITABLE, LIDO_PENDING};
static lido_mutex at_file_scope = LIDO_MUTEX_INIT;
static lido_config config_at_file_scope = LIDO_CONFIG_INIT;
/* What the types of the library are made with. */
struct sized {
    size_t size;
    int other;
};
struct zero {
    int first;
    int second;
};

LIDO_API int use_macros(lido_runtime *runtime, lido_listener *listener, lido_future *future,
                        lido_fn fn, lido_future *(*make)(void *arg, lido_stream *stream));

static int spawn(lido_runtime *runtime, lido_future *future, lido_fn fn)
{
    lido_task *task;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_blocking_options blocking = LIDO_BLOCKING_OPTIONS_INIT;
    int r = lido_spawn(&task, fn, NULL);
    r += lido_spawn_with(&task, fn, NULL, &options);
    r += lido_runtime_spawn(runtime, &task, fn, NULL);
    r += lido_runtime_spawn_with(runtime, &task, fn, NULL, &options);
    r += lido_spawn_blocking(&task, fn, NULL);
    r += lido_spawn_blocking_with(&task, fn, NULL, &blocking);
    r += lido_runtime_spawn_blocking(runtime, &task, fn, NULL);
    r += lido_runtime_spawn_blocking_with(runtime, &task, fn, NULL, &blocking);
    r += lido_spawn_future(&task, future);
    r += lido_spawn_future_with(&task, future, &options);
    r += lido_runtime_spawn_future(runtime, &task, future);
    return r;
}

static int spawn_in_scope(lido_future *future, lido_fn fn)
{
    int result;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_scope by_hand = LIDO_SCOPE_INIT;
    lido_within(100);
    lido_scoped(scope);
    lido_scope_spawn(&by_hand, fn, NULL);
    lido_scope_spawn(&scope, fn, NULL);
    lido_scope_spawn_with(&scope, &result, fn, NULL, &options);
    lido_scope_spawn_future(&scope, future);
    return lido_scope_wait(&by_hand) + lido_scope_wait(&scope);
}

static int wait_for_others(const lido_waker *waker)
{
    void *value;
    lido_wait wait = LIDO_WAIT_INIT;
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    lido_event event = LIDO_EVENT_INIT;
    lido_mutex mutexes[2] = {LIDO_MUTEX_INIT, LIDO_MUTEX_INIT};
    lido_event_notify_one(&event);
    return lido_oneshot_recv_poll(&oneshot, &value, &wait, waker) + lido_mutex_unlock(&mutexes[1]);
}

int use_macros(lido_runtime *runtime, lido_listener *listener, lido_future *future, lido_fn fn,
               lido_future *(*make)(void *arg, lido_stream *stream))
{
    char text[LIDO_ADDRESS_TEXT] = "";
    lido_config config = LIDO_CONFIG_INIT;
    lido_listen_options listen = LIDO_LISTEN_OPTIONS_INIT;
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    struct sized sized = LIDO_SIZED(struct sized);
    struct zero zero = LIDO_ZERO(0);
    int LIDO_UNIQUE(r, ) = 0;
    errno = r;
    lido_serve_with(listener, fn, &options);
    lido_serve(listener, fn);
    lido_serve_futures(listener, make, NULL, &options);
    return errno + spawn(runtime, future, fn) + spawn_in_scope(future, fn) + wait_for_others(NULL) +
           lido_run(&config, fn, text) + (int)(listen.size + sized.size) + zero.second +
           lido_mutex_lock(&at_file_scope) + lido_run(&config_at_file_scope, fn, NULL) + bits[0] +
           texts[0][0];
}
