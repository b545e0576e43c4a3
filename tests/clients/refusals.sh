# What the examples do when they cannot start: a clear message and exit status 1.

. "$(dirname "$0")/../support/example.sh"

# refused PATTERN EXAMPLE FLAG...
refused() {
    pattern=$1
    example=$2
    shift 2
    status=0
    "$LIDO_BUILD/examples/$example" "$@" >"$work/unused" 2>"$work/message" || status=$?
    [ $status -eq 1 ] || die "$example $*: exited with $status"
    grep -qx -- "$pattern" "$work/message" || die "$example $*: said: $(cat "$work/message")"
}

start_server echo
for example in echo echo_future ping; do
    refused "$example: cannot listen on 127.0.0.1:$port: address already in use.*" \
        $example --listen "127.0.0.1:$port"
done
stop_server

refused 'echo: --listen nowhere: must be HOST:PORT' echo --listen nowhere
refused 'echo: cannot listen on 192.0.2.1:0: .*' echo --listen 192.0.2.1:0
refused 'echo: --workers 0: must be a number from 1 to 32768' echo --workers 0
refused 'echo: --workers many: must be a number from 1 to 32768' echo --workers many
refused 'echo: --grace -1: must be a number from 0 to 2147483647' echo --grace -1
refused 'echo: scheduler: magic: there is no such scheduler; .*' echo --scheduler magic
refused 'echo: reactor: magic: there is no such reactor; .*' echo --reactor magic
refused 'echo: what is "more"? see --help' echo more
refused '.*unrecognized option.*' echo --magic
LIDO_WORKERS=0 refused 'echo: LIDO_WORKERS=0: must be a number from 1 to 32768' echo

"$LIDO_BUILD/examples/echo" --help | grep -q '^usage: echo' || die "--help does not help"
