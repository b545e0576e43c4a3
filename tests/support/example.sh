# For the scripts of tests/clients, which source this: running an example server and looking at it.
# LIDO_BUILD is the build directory.

set -eu

: "${LIDO_BUILD:?is not set: run me through ctest}"
work=$(mktemp -d)
server=
client=

# Ends only what this script has started.
cleanup() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    [ -z "$client" ] || kill -KILL "$client" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

die() {
    echo "$0: $*" >&2
    for file in "$work"/out "$work"/err; do
        [ ! -s "$file" ] || sed "s|^|    $(basename "$file"): |" "$file" >&2
    done
    exit 1
}

# need TOOL...: or the test is skipped.
need() {
    for tool; do
        command -v "$tool" >/dev/null || {
            echo "SKIP: $tool is not installed"
            exit 77
        }
    done
}

# await WHAT COMMAND...: until the command succeeds, for many seconds at most.
await() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || die "gave up waiting: $what"
        sleep 0.05
    done
}

printed() {
    grep -q -- "$1" "$work/out"
}

# start_server EXAMPLE [FLAG...]: on a free port, which is then in $port.
start_server() {
    example=$1
    shift
    : >"$work/out" # of the server before, which must not be taken for this one's
    "$LIDO_BUILD/examples/$example" --listen 127.0.0.1:0 --workers 2 "$@" \
        >"$work/out" 2>"$work/err" &
    server=$!
    await "$example listens" printed '^try it:'
    port=$(sed -n '1s/^listening on 127\.0\.0\.1://p' "$work/out")
    [ -n "$port" ] || die "the first line does not say where it listens"
}

# stop_server: by SIGTERM, after which it must end by itself and with success.
stop_server() {
    kill -TERM "$server"
    end_server
}

end_server() {
    status=0
    wait "$server" || status=$?
    server=
    [ $status -eq 0 ] || die "the server exited with $status"
    [ ! -s "$work/err" ] || die "the server complained"
}

# expect_line PATTERN: the whole of a line of what the server printed.
expect_line() {
    grep -qx -- "$1" "$work/out" || die "it did not print: $1"
}
