# The server of the README, which listens on a fixed port.

. "$(dirname "$0")/../support/example.sh"
need nc

listens() {
    nc -z 127.0.0.1 12345 2>/dev/null
}

if listens; then
    echo "SKIP: somebody listens on port 12345"
    exit 77
fi
"$LIDO_BUILD/examples/hello_echo" >"$work/out" 2>"$work/err" &
server=$!
await "hello_echo listens" listens
[ "$(echo hello | nc -N 127.0.0.1 12345)" = hello ] || die "hello did not come back"

status=0
"$LIDO_BUILD/examples/hello_echo" || status=$?
[ $status -eq 1 ] || die "with the port taken it exited with $status"
