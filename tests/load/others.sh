# lido-load and the tools that others use, wrk and redis-benchmark, on the same server: both are content with
# it. How their figures compare is for load/check.sh to say, on a machine that is quiet.

. "$(dirname "$0")/../support/example.sh"
need redis-benchmark wrk

load=$LIDO_BUILD/load/lido-load
requests=3000

# all_answered ARGUMENTS...: by lido-load, whose exit status says so too.
all_answered() {
    "$load" -n $requests -c 20 --json "$@" "127.0.0.1:$port" >"$work/json" 2>"$work/complaints" ||
        die "lido-load $* exited with $?: $(cat "$work/complaints")"
    grep -q "^  \"requests\": $requests,$" "$work/json" || die "lido-load $*: $(cat "$work/json")"
    if command -v python3 >/dev/null; then
        python3 -m json.tool "$work/json" >/dev/null || die "this is no JSON: $(cat "$work/json")"
    fi
}

start_server ping --quiet
for pipeline in 1 16; do
    redis-benchmark -p "$port" -t ping_inline,ping_mbulk -n $requests -c 20 -P $pipeline --csv \
        >"$work/figures" 2>"$work/warnings" </dev/null || die "redis-benchmark failed"
    all_answered --protocol ping --depth $pipeline
    all_answered --protocol ping-inline --depth $pipeline
    all_answered --protocol ping --depth $pipeline --rate 5000
done
stop_server

if [ ! -x "$LIDO_BUILD/bench/lido_server" ]; then
    echo "SKIP: the benchmarks are not built, and with them the HTTP server"
    exit 77
fi
: >"$work/out"
"$LIDO_BUILD/bench/lido_server" http --listen 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
await "the HTTP server listens" printed '^listening on 127.0.0.1:'
port=$(sed -n 's/^listening on 127\.0\.0\.1://p' "$work/out")

wrk -t 1 -c 20 -d 1 "http://127.0.0.1:$port/" >"$work/figures" 2>&1 || die "wrk failed"
grep -q '^Requests/sec: *[1-9]' "$work/figures" || die "no figure of wrk: $(cat "$work/figures")"
! grep -q -e 'Socket errors' -e 'Non-2xx' "$work/figures" || die "wrk: $(cat "$work/figures")"
all_answered --protocol http
all_answered --protocol http --depth 4
all_answered --protocol http --churn --reset
kill -TERM "$server"
wait "$server" || true
server=
