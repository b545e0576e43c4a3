#!/bin/sh
# The load of bench/ is believed when it says that a server is right and what it costs: so it must notice
# a server that answers with something else, or not to the end. And the peer that lido is measured
# against must do its job.

set -eu

bench=$LIDO_BUILD/bench
if [ ! -x "$bench/load" ]; then
    echo "skipped: the benchmarks are not built"
    exit 77
fi
if ! command -v socat >/dev/null; then
    echo "skipped: there is no socat here"
    exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/lido-test.XXXXXX")
server_pid=
clean_up() {
    [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || :
    rm -rf "$work"
}
trap clean_up EXIT

fail() {
    echo "$*" >&2
    exit 1
}

# start COMMAND...: sets server_pid; what it prints, on either stream, comes from descriptor 3.
start() {
    rm -f "$work/out"
    mkfifo "$work/out"
    "$@" >"$work/out" 2>&1 &
    server_pid=$!
    exec 3<"$work/out"
}

stop() {
    kill "$server_pid"
    wait "$server_pid" || [ $? -eq 143 ] || fail "the server failed"
    server_pid=
    exec 3<&-
}

# What socat runs for a connection: answers the first message with something else.
start_false_server() {
    start socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork "EXEC:$1"
    while read -r line <&3; do
        case $line in
        *"listening on"*) break ;;
        esac
    done
    address=${line##* }
}

expect_error() {
    start_false_server "$1"
    if "$bench/load" --requests 5 "$address" >"$work/load"; then
        fail "the load took this for an echo: $1: $(cat "$work/load")"
    fi
    grep -q ' errors 1$' "$work/load" || fail "the load did not count the error: $(cat "$work/load")"
    stop
}

expect_served() {
    "$bench/load" "$@" --pid "$server_pid" "$address" >"$work/load" || fail "load $*"
    grep -Eq '^requests 300 rate [0-9]+ cpu_ns [0-9.]+ busy [0-9.]+ errors 0$' "$work/load" ||
        fail "load $* says: $(cat "$work/load")"
}

expect_error "dd bs=64 count=1 conv=swab status=none" # another content
expect_error "head -c 32"                             # half of it

for workers in 1 2; do
    start "$bench/peers/bare_epoll" echo --workers "$workers"
    read -r line <&3
    address=${line#listening on }
    expect_served --requests 300
    expect_served --requests 300 --connections 300 --active 100 --size 1
    expect_served --requests 300 --connections 8 --size 300000 # does not fit into a socket's buffer
    stop
done
