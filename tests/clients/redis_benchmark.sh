# redis-benchmark against ping: both forms of the command, one at a time and pipelined.

. "$(dirname "$0")/../support/example.sh"
need redis-benchmark

requests=3000

start_server ping --quiet

for pipeline in 1 16; do
    redis-benchmark -p "$port" -t ping_inline,ping_mbulk -n $requests -c 20 -P $pipeline --csv \
        >"$work/figures" 2>"$work/warnings" </dev/null || die "redis-benchmark failed"
    grep -q '^"PING_INLINE","[1-9]' "$work/figures" || die "no figure for ping_inline"
    grep -q '^"PING_MBULK","[1-9]' "$work/figures" || die "no figure for ping_mbulk"
done

if command -v nc >/dev/null; then
    # In one go: words, arrays, an argument, an unknown command, nonsense.
    printf 'PING\r\n*1\r\n$4\r\nping\r\n*2\r\n$4\r\nPING\r\n$2\r\nhi\r\nGET x\r\n*x\r\n' |
        nc -N 127.0.0.1 "$port" | tr -d '\r' >"$work/answers"
    printf '%s\n' +PONG +PONG '$2' hi '-ERR unknown command' '-ERR Protocol error' >"$work/expected"
    cmp "$work/expected" "$work/answers" || die "the answers were: $(cat "$work/answers")"
fi

stop_server
