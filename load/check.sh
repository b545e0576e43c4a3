#!/bin/sh
# check.sh [--build DIR] [--rounds N] [--margin PERCENT]: lido-load beside wrk and redis-benchmark, on the
# same server.
#
# One connection, one request at a time: all tools then measure the same round trip, so the medians of their
# p50 must agree within the margin (25); redis-benchmark rounds up by as much as 8 us, which is allowed for.
# With 50 connections the tool matters as much as the server, and lido-load must not be slower than the other
# by more than the margin. The runs alternate, and the median of the rounds (5) counts. Exit status 1: they do
# not agree. 77: something is missing.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/build/release
rounds=5
margin=25
while [ $# -ge 2 ]; do
    case $1 in
    --build) build=$2 ;;
    --rounds) rounds=$2 ;;
    --margin) margin=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || {
    echo "usage: load/check.sh [--build DIR] [--rounds N] [--margin PERCENT]" >&2
    exit 2
}

load=$build/load/lido-load
for tool in wrk redis-benchmark "$load" "$build/examples/ping" "$build/bench/lido_server"; do
    command -v "$tool" >/dev/null || {
        echo "SKIP: there is no $tool"
        exit 77
    }
done

work=$(mktemp -d)
servers=
cleanup() {
    for server in $servers; do
        kill "$server" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT

# start NAME COMMAND...: its port is then in $port.
start() {
    out=$work/$1
    shift
    "$@" --listen 127.0.0.1:0 --workers 1 >"$out" 2>&1 &
    servers="$servers $!"
    tries=0
    until port=$(sed -n '1s/^listening on 127\.0\.0\.1://p' "$out") && [ -n "$port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || {
            cat "$out" >&2
            exit 1
        }
        sleep 0.1
    done
}

# Each of these prints: p50 in us, requests a second.

by_wrk() {
    wrk -t 1 -c "$1" -d 1 --latency "http://127.0.0.1:$http_port/" |
        awk '$1 == "50%" {
                 us = $2 + 0
                 if ($2 ~ /ms$/)
                     us *= 1000
             }
             $1 == "Requests/sec:" { print us, $2 }'
}

by_load() {
    "$load" "$@" --json | awk '
        match($0, /"p50": [0-9]+/) && !p50 { p50 = substr($0, RSTART + 7, RLENGTH - 7) }
        /^  "rate"/ { rate = $2 + 0 }
        END { print p50 / 1000, rate }'
}

by_redis() {
    redis-benchmark -p "$ping_port" -t ping_mbulk -c "$1" -P "$2" -n "$3" --csv </dev/null 2>/dev/null |
        awk -F '","|"' '$2 == "PING_MBULK" { print $6 * 1000, $3 }'
}

# median FILE COLUMN
median() {
    awk -v column="$2" '{ print $column }' "$1" | sort -g |
        awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

failed=0

# compare WHAT COLUMN GRAIN: column 1 is p50, which must agree both ways, and theirs may be too high by the
# grain; 2 the rate, which must not be lower.
compare() {
    theirs=$(median "$work/theirs" "$2")
    ours=$(median "$work/ours" "$2")
    verdict=$(awk -v ours="$ours" -v theirs="$theirs" -v margin="$margin" \
        -v column="$2" -v grain="$3" 'BEGIN {
        ratio = theirs > 0 ? ours / theirs : 0
        low = 1 - margin / 100
        bad = ours < (theirs - grain) * low || (column == 1 && ratio > 1 / low)
        printf "%.2f %s", ratio, bad ? "DISAGREES" : "ok"
    }')
    printf '%-44s %12s %12s   %s\n' "$1" "$theirs" "$ours" "$verdict"
    case $verdict in *DISAGREES) failed=1 ;; esac
}

# beside WHAT COLUMN THEIRS OURS [GRAIN]: two commands, which are split into words.
beside() {
    what=$1
    column=$2
    theirs=$3
    ours=$4
    grain=${5:-0}
    : >"$work/theirs"
    : >"$work/ours"
    round=0
    while [ $round -lt "$rounds" ]; do
        $theirs >>"$work/theirs"
        $ours >>"$work/ours"
        round=$((round + 1))
    done
    compare "$what" "$column" "$grain"
}

start http "$build/bench/lido_server" http
http_port=$port
start ping "$build/examples/ping" --quiet
ping_port=$port
http="by_load --protocol http -d 1 127.0.0.1:$http_port"
ping="by_load --protocol ping 127.0.0.1:$ping_port"

printf '%-44s %12s %12s   ratio\n' "" theirs lido-load
beside "wrk, 1 connection, p50 in us" 1 "by_wrk 1" "$http -c 1"
beside "wrk, 50 connections, requests/s" 2 "by_wrk 50" "$http -c 50"
beside "redis-benchmark -P 1, 1 connection, p50 in us" 1 "by_redis 1 1 10000" "$ping -c 1 -n 10000" 8
beside "redis-benchmark -P 16, 1 connection, p50 in us" 1 "by_redis 1 16 160000" \
    "$ping -c 1 -P 16 -n 160000" 8
beside "redis-benchmark -P 1, 50 connections" 2 "by_redis 50 1 50000" "$ping -c 50 -n 50000"
beside "redis-benchmark -P 16, 50 connections" 2 "by_redis 50 16 500000" "$ping -c 50 -P 16 -n 500000"
exit $failed
