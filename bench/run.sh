#!/bin/sh
# Measures lido beside a hand-written epoll loop and against its goals. `./dev bench` calls this after a
# release build.
#
# Usage: bench/run.sh [--quick] [--build DIR] [JOB...]
#
#   echo          CPU time per request of 64 bytes; 1, 64 and 1000 connections; 1 worker
#   growth        the same with 2 and 4 workers against 1
#   balance       two workers that steal, when all connections begin on one
#   crowd         the same with 64 active connections of 10 000 against 64 alone
#   syscalls      system calls per request (strace)
#   instructions  user-space instructions per request (valgrind)
#   idle          memory of the server per idle connection
#   micro         what the parts cost, in ns (bench/micro)
#   sleepers      a million sleeping fibers
#   sched         tokio's scheduler benchmarks, beside tokio
#   blocking      blocking sections, beside tokio
#   hog           how long an echo takes beside a task that computes, beside tokio
#
# Without JOB all of them. --quick: fewer and shorter runs, for a first impression only.
#
# What is compared runs at the same time and is put under load in turn (A B A B, 50 ms each). A round of
# that gives one ratio; the figure is the median of the rounds, with the extremes beside it. "control" rows compare the bare loop with itself: they tell how
# much a ratio means on this machine now. The results are also written to bench/results/ as JSON.
# The exit status says whether it could be measured, not whether the goals were met.

# shellcheck disable=SC2016 # $1 is a column of awk's

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
build=$here/../build/release
jobs=
rounds=7
seconds=1
hog_seconds=3
balance_seconds=4
repeat=9
quick=false
command="bench/run.sh $*"

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s\n' "bench: error: $*" >&2
    exit 1
}

# --- servers ------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/lido-bench.XXXXXX")
server_pids=
servers=
clean_up() {
    # shellcheck disable=SC2086 # a list
    [ -z "$server_pids" ] || kill $server_pids 2>/dev/null || :
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start_server COMMAND...: waits until it says where it listens; sets server_address, and adds to
# server_pids and servers, which is what bench/load wants to be told. A program and not a function, so
# that $! is its own process.
start_server() {
    rm -f "$work/out"
    mkfifo "$work/out"
    "$@" >"$work/out" 2>>"$work/err" &
    server_pids="$server_pids $!"
    servers="$servers --pid $!"
    exec 3<"$work/out"
    if ! read -r line <&3; then
        cat "$work/err" >&2
        die "did not start: $*"
    fi
    cat <&3 >/dev/null & # until the server ends
    exec 3<&-
    server_address=${line#listening on }
    servers="$servers $server_address"
}

# stop_servers: all of them.
stop_servers() {
    for pid in $server_pids; do
        kill "$pid"
        wait "$pid" || die "a server failed: $(cat "$work/err")"
    done
    server_pids=
    servers=
}

# command_of KIND [WORKERS]: how to start a server; the names are used in the table.
command_of() {
    case $1 in
    bare) say "$build/bench/peers/bare_epoll echo --workers ${2:-1}" ;;
    bare2) say "$build/bench/peers/bare_epoll --idle-threads 1 echo" ;;
    stealing) say "$build/examples/echo --listen 127.0.0.1:0 --scheduler work-stealing --workers ${2:-1} --quiet" ;;
    lido) say "$build/examples/echo --listen 127.0.0.1:0 --workers ${2:-1} --quiet" ;;
    future) say "$build/examples/echo_future --listen 127.0.0.1:0 --workers ${2:-1} --quiet" ;;
    esac
}

# load ARGUMENTS...: puts a load on servers.
load() {
    # shellcheck disable=SC2086 # a command and its arguments
    $on_load_cpu "$build/bench/load" "$@" >"$work/load" ||
        die "the load failed: $(cat "$work/load" "$work/err")"
}

# measure FILE ARGUMENTS...: a load; the CPU time per request of each server becomes a line of the file.
measure() {
    costs=$1
    shift
    load --seconds "$seconds" "$@"
    sed 's/.* cpu_ns \([^ ]*\) .*/\1/' "$work/load" | tr '\n' ' ' >>"$costs"
    echo >>"$costs"
}

# --- figures ------------------------------------------------------------------------------------

# stats EXPRESSION FILE: "median min max" of an awk expression over the lines of a file.
stats() {
    awk "{ printf \"%.6f\\n\", $1 }" "$2" | sort -n | awk '
        { value[NR] = $1 }
        END { printf "%.6g %.6g %.6g", (value[int((NR + 1) / 2)] + value[int(NR / 2 + 1)]) / 2,
                  value[1], value[NR] }'
}

# figure NAME UNIT GOAL MEDIAN [MIN MAX]: GOAL is an upper limit, a lower one (">=4"), or "-".
figure() {
    case ${4-} in
    *[0-9]*) ;;
    *) die "$job: $1: there is no figure" ;;
    esac
    verdict=$(awk -v value="$4" -v goal="$3" '
        BEGIN {
            least = sub(/^>=/, "", goal)
            met = least ? value + 0 >= goal + 0 : value + 0 <= goal + 0
            print goal == "-" ? "" : met ? "ok" : "MISS"
        }')
    range=
    [ -z "${6-}" ] || range="$5 - $6"
    printf '  %-50s %11s %-5s %-23s %7s  %s\n' "$1" "$4" "$2" "$range" "$3" "$verdict"
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
        "$job" "$1" "$2" "$3" "$4" "${5:-$4}" "${6:-$4}" "$verdict" >>"$work/figures"
}

heading() {
    say ""
    say "$1"
    printf '  %-50s %11s %-5s %-23s %7s\n' "" median "" "min - max" goal
}

skip() {
    say ""
    say "$job: SKIPPED: $*"
    printf '%s\t%s\t\t-\t\t\t\tskipped: %s\n' "$job" "$job" "$*" >>"$work/figures"
}

# --- jobs ---------------------------------------------------------------------------------------

# start KIND [WORKERS]
start() {
    # shellcheck disable=SC2046,SC2086 # a command and its arguments
    start_server $on_server_cpu $(command_of "$@")
}

# The kernel counts the users of a descriptor, in each system call, once a process has a second thread:
# the bare loop with an idle thread tells what that costs by itself.
#
# A round starts the servers anew, because a process may be lucky with its memory.
# echo_of CONNECTIONS
echo_of() {
    : >"$work/costs"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for kind in bare lido future bare2 bare stealing; do
            start "$kind"
        done
        # shellcheck disable=SC2086 # arguments
        measure "$work/costs" --connections "$1" $servers
        stop_servers
        round=$((round + 1))
    done
    # shellcheck disable=SC2046 # three numbers
    {
        figure "bare epoll, $1 connections" ns - $(stats '($1 + $5) / 2' "$work/costs")
        figure "lido fiber, $1 connections" ns - $(stats '$2' "$work/costs")
        figure "lido future, $1 connections" ns - $(stats '$3' "$work/costs")
        figure "  lido fiber / bare, $1 connections" x 1.02 $(stats '2 * $2 / ($1 + $5)' "$work/costs")
        figure "  lido future / bare, $1 connections" x 1.02 $(stats '2 * $3 / ($1 + $5)' "$work/costs")
        figure "  lido work-stealing / bare, $1 connections" x 1.04 \
            $(stats '2 * $6 / ($1 + $5)' "$work/costs")
        figure "  control: bare / bare, $1 connections" x - $(stats '$5 / $1' "$work/costs")
        figure "  control: bare + idle thread / bare, $1" x - \
            $(stats '2 * $4 / ($1 + $5)' "$work/costs")
    }
}

job_echo() {
    heading "TCP echo, 64 bytes, 1 worker: CPU time of the server per request"
    for connections in 1 64 1000; do
        echo_of "$connections"
    done
}

# Not pinned: the load runs where there is room, as the workers do. On a machine with few cores there is
# none, and what the workers then cost each other is not lido's: hence the bare loop beside it.
job_growth() {
    heading "Workers: CPU time of the server per request, 64 connections, not pinned"
    pinned_load=$on_load_cpu
    on_load_cpu=
    : >"$work/costs"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for kind in lido bare; do
            for workers in 1 2 4; do
                # shellcheck disable=SC2046 # a command and its arguments
                start_server $(command_of "$kind" "$workers")
            done
        done
        # shellcheck disable=SC2086 # arguments
        measure "$work/costs" --connections 64 $servers
        stop_servers
        round=$((round + 1))
    done
    on_load_cpu=$pinned_load
    # shellcheck disable=SC2046 # three numbers
    {
        figure "lido fiber, 1 worker" ns - $(stats '$1' "$work/costs")
        figure "  2 workers / 1" x 1.05 $(stats '$2 / $1' "$work/costs")
        figure "  4 workers / 1" x 1.05 $(stats '$3 / $1' "$work/costs")
        figure "  control: bare, 2 workers / 1" x - $(stats '$5 / $4' "$work/costs")
        figure "  control: bare, 4 workers / 1" x - $(stats '$6 / $4' "$work/costs")
        figure "  lido / bare, 2 workers" x 1.02 $(stats '$2 / $5' "$work/costs")
        figure "  lido / bare, 4 workers" x 1.02 $(stats '$3 / $6' "$work/costs")
    }
}

# cpu_of PID: "thread ticks" for each thread.
cpu_of() {
    for thread in /proc/"$1"/task/*; do
        # The name may have blanks and is in parentheses: the 12th and 13th after it are user and system time.
        sed 's/.*) //' "$thread/stat" | awk -v thread="${thread##*/}" '{ print thread, $12 + $13 }'
    done
}

# All connections begin on the worker that accepts. The load is not pinned: as in growth.
job_balance() {
    heading "Work stealing: 64 connections that all began on one of two workers"
    pinned_load=$on_load_cpu
    on_load_cpu=
    : >"$work/costs"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        start_server "$build/bench/hog_echo" --scheduler work-stealing --workers 2
        pid=${server_pids# }
        cpu_of "$pid" >"$work/before"
        # shellcheck disable=SC2086 # arguments
        load --seconds "$balance_seconds" --connections 64 $servers
        cpu_of "$pid" >"$work/after"
        stop_servers
        awk 'FNR == NR { before[$1] = $2; next } { print $2 - before[$1] }' \
            "$work/before" "$work/after" | sort -rn | head -n 2 | tr '\n' ' ' >>"$work/costs"
        echo >>"$work/costs"
        round=$((round + 1))
    done
    on_load_cpu=$pinned_load
    # shellcheck disable=SC2046 # three numbers
    figure "CPU time of the busier worker / of the other" x 1.2 $(stats '$1 / $2' "$work/costs")
}

job_crowd() {
    heading "Idle connections: CPU time of the server per request, 64 of $many active against 64 alone"
    : >"$work/lido"
    : >"$work/bare"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for kind in lido bare; do
            start "$kind"
            alone=$servers
            servers=
            start "$kind"
            # shellcheck disable=SC2086 # arguments
            measure "$work/$kind" --connections 64 $alone \
                --connections "$many" --active 64 $servers
            stop_servers
        done
        round=$((round + 1))
    done
    # shellcheck disable=SC2046 # three numbers
    {
        figure "lido fiber, 64 of $many" ns - $(stats '$2' "$work/lido")
        figure "  64 of $many / 64 alone" x 1.05 $(stats '$2 / $1' "$work/lido")
        figure "  control: the same of the bare loop" x - $(stats '$2 / $1' "$work/bare")
    }
}

# traced KIND REQUESTS FILE: "name calls errors" for each system call of a whole run.
traced() {
    # The process writes down its own number, because $! is that of strace.
    # shellcheck disable=SC2046,SC2016 # a command and its arguments; for the inner shell
    start_server strace -f -c -o "$work/strace" \
        sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" $(command_of "$1")
    strace_pid=$server_pids
    server_pids=$(cat "$work/pid")
    load --connections 64 --requests "$2" "$server_address"
    kill "$server_pids"
    wait "$strace_pid" || die "strace failed: $(cat "$work/err")"
    server_pids=
    servers=
    awk '$4 ~ /^[0-9]+$/ && $NF != "total" { print $NF, $4, NF == 6 ? $5 : 0 }' \
        "$work/strace" >"$3"
}

# per_request FILE FILE: the calls of a longer run that the shorter does not have, per request.
per_request() {
    awk -v requests=5000 '
        FNR == NR { calls[$1] -= $2; errors[$1] -= $3; next }
        { calls[$1] += $2; errors[$1] += $3 }
        END {
            for (name in calls)
                if (calls[name] > 0 || errors[name] > 0)
                    printf "%s %.4f %.4f\n", name, calls[name] / requests, errors[name] / requests
        }' "$1" "$2"
}

# sum COLUMN PATTERN FILE: of the lines whose first word matches.
sum() {
    awk -v column="$1" -v pattern="$2" '
        $1 ~ pattern { total += $column }
        END { printf "%.3f", (total > 0 ? total : 0) }' "$3"
}

syscalls_of() {
    traced "$1" 1000 "$work/short"
    traced "$1" 6000 "$work/long"
    per_request "$work/short" "$work/long" >"$work/calls"
    transfer='^(read|readv|recvfrom|recvmsg|write|writev|sendto|sendmsg)$'
    figure "$1: reads per request" "" "$2" "$(sum 2 '^(read|recv)' "$work/calls")"
    figure "$1: writes per request" "" "$2" "$(sum 2 '^(write|send)' "$work/calls")"
    figure "$1: epoll_wait per request" "" "$2" "$(sum 2 '^epoll_p?wait' "$work/calls")"
    grep -Ev "${transfer%\$} |^epoll_p?wait" "$work/calls" >"$work/others" || :
    figure "$1: other calls per request" "" "${3-}" "$(sum 2 . "$work/others")"
    figure "$1: calls that fail, per request" "" "${3-}" "$(sum 3 . "$work/calls")"
    sed 's/^/        another call: /' "$work/others"
}

job_syscalls() {
    command -v strace >/dev/null || {
        skip "there is no strace here (apt-get install strace)"
        return
    }
    heading "System calls per request, 64 connections, between 1000 and 6000 requests"
    syscalls_of bare - -
    syscalls_of lido 1 0.01
    syscalls_of future 1 0.01
}

# count KIND CONNECTIONS REQUESTS: sets instructions, of a whole run in user space. By cachegrind and not
# by callgrind, whose call stack does not follow fibers.
count() {
    # shellcheck disable=SC2046 # a command and its arguments
    start_server valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file="$work/counts" \
        $(command_of "$1")
    load --connections "$2" --requests "$3" "$server_address"
    stop_servers
    instructions=$(sed -n 's/^summary: //p' "$work/counts")
}

job_instructions() {
    command -v valgrind >/dev/null || {
        skip "there is no valgrind here (apt-get install valgrind)"
        return
    }
    heading "User-space instructions per request, between 2000 and 12000 requests"
    for connections in 1 64; do
        for kind in bare lido future; do
            count "$kind" "$connections" 2000
            short=$instructions
            count "$kind" "$connections" 12000
            figure "$kind, $connections connections" "" - \
                "$(awk "BEGIN { printf \"%.1f\", ($instructions - $short) / 10000 }")"
        done
    done
}

idle_of() {
    start "$1"
    "$build/bench/idle" "${server_pids# }" "$many" "$server_address" >"$work/idle" ||
        die "idle connections failed: $(cat "$work/idle" "$work/err")"
    stop_servers
    # shellcheck disable=SC2034 # the words between the numbers
    read -r w1 w2 w3 resident w4 tables <"$work/idle"
    figure "$1: resident memory" bytes "$2" "$resident"
    figure "$1: page tables, in the kernel" bytes - "$tables"
}

job_idle() {
    heading "Memory of the server per idle connection, of $many"
    idle_of bare -
    idle_of lido 4500
    idle_of future 256
}

# goal_of NAME: of a micro-benchmark.
goal_of() {
    case $1 in
    switch) say 3 ;;
    yield) say 6 ;;
    deadline_yield) say 40 ;;
    spawn_join) say 30 ;;
    spawn_remote_idle | spawn_remote_busy) say 60 ;;
    chained_spawn) say 25 ;;
    ping_pong) say 80 ;;
    million_sleepers) say 3e9 ;;
    million_sleepers_peak_bytes) say 4.6e9 ;;
    *) say - ;;
    esac
}

# micro REPETITIONS NAME...
micro() {
    repetitions=$1
    shift
    "$build/bench/micro" --repeat "$repetitions" "$@" >"$work/micro" || die "micro failed"
    while read -r name median min max; do
        unit=ns
        [ "${name%_bytes}" = "$name" ] || unit=bytes
        figure "$name" "$unit" "$(goal_of "$name")" "$median" "$min" "$max"
    done <"$work/micro"
}

job_micro() {
    heading "Parts, per operation (median of $repeat)"
    micro "$repeat" switch yield deadline_yield spawn_join spawn_local_future chained_spawn \
        spawn_remote_idle spawn_remote_busy ping_pong ping_pong_futures timer_arm_cancel
}

job_sleepers() {
    available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
    [ "$available" -gt 6000 ] || {
        skip "6000 MB of free memory are needed, there are $available"
        return
    }
    heading "A million fibers that sleep at the same time, one worker"
    micro 3 million_pages million_sleepers
}

# --- report -------------------------------------------------------------------------------------

# Sets what is told about the machine and the build.
look_around() {
    cpu_model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    cores=$(nproc)
    kernel=$(uname -sr)
    compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
    compiler=$("$compiler" --version | head -n 1)
    flags=$(sed -n 's/^CMAKE_C_FLAGS_RELEASE:[A-Z]*=//p' "$build/CMakeCache.txt")
    commit=$(git -C "$here" describe --always --dirty 2>/dev/null) || commit=unknown
    busy=$(cut -d ' ' -f 1 /proc/loadavg)

    pinned=false
    on_server_cpu=
    on_load_cpu=
    if [ "$cores" -ge 2 ] && taskset -c 0 true 2>/dev/null && taskset -c 1 true 2>/dev/null; then
        pinned=true
        on_server_cpu="taskset -c 0"
        on_load_cpu="taskset -c 1"
    fi
    # shellcheck disable=SC3045 # dash, bash and busybox have it
    limit=$(ulimit -Hn)
    many=10000
    [ "$limit" = unlimited ] || [ "$limit" -gt 10200 ] || many=$((limit - 200))
}

introduce() {
    say "machine   $cpu_model, $cores cores, $kernel, load $busy"
    say "compiler  $compiler, $flags"
    say "commit    $commit"
    for kind in bare bare2 lido future; do
        printf 'server    %-7s %s\n' "$kind" "$(command_of "$kind")"
    done
    say "load      $build/bench/load --seconds $seconds --connections N --pid PID ADDRESS ..., $rounds rounds"
    if $pinned; then
        say "cpus      server on 0, load on 1"
    else
        say "cpus      not pinned: there are not two"
    fi
    ! $quick || say "NOTE      --quick: a first impression only"
    awk -v busy="$busy" 'BEGIN { if (busy > 0.5) print "NOTE      the machine is busy with other things" }'
}

write_json() {
    mkdir -p "$here/results"
    json=$here/results/$(date -u +%Y%m%d-%H%M%S)-$commit.json
    awk -F '\t' -v cpu="$cpu_model" -v cores="$cores" -v kernel="$kernel" -v load="$busy" \
        -v compiler="$compiler" -v flags="$flags" -v commit="$commit" -v quick="$quick" \
        -v command="$command" -v pinned="$pinned" -v peers="$peers" \
        -v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
        function text(s) { gsub(/[\\"]/, "\\\\&", s); return "\"" s "\"" }
        function number(s) { return s ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ ? s + 0 : "null" }
        function limit(s) { return s ~ /^>=/ ? text(s) : number(s) }
        BEGIN {
            OFMT = CONVFMT = "%.10g"
            printf "{\n  \"date\": %s, \"commit\": %s, \"command\": %s, \"quick\": %s,\n",
                text(date), text(commit), text(command), quick
            printf "  \"machine\": {\"cpu\": %s, \"cores\": %s, \"kernel\": %s, \"load\": %s, " \
                "\"pinned\": %s},\n", text(cpu), cores, text(kernel), load, pinned
            printf "  \"compiler\": {\"version\": %s, \"flags\": %s},\n  \"peers\": %s,\n" \
                "  \"figures\": [", text(compiler), text(flags), text(peers)
        }
        {
            sub(/^ +/, "", $2)
            printf "%s\n    {\"job\": %s, \"name\": %s, \"unit\": %s, \"goal\": %s, \"median\": %s, " \
                "\"min\": %s, \"max\": %s, \"verdict\": %s}", (NR > 1 ? "," : ""), text($1), text($2),
                text($3), limit($4), number($5), number($6), number($7), text($8)
        }
        END { print "\n  ]\n}" }' "$work/figures" >"$json"
}

conclude() {
    say ""
    awk -F '\t' '
        $8 == "ok" { ok++ }
        $8 == "MISS" { missed++; sub(/^ +/, "", $2); names = names "\n  MISS  " $1 ": " $2 }
        $8 ~ /^skipped/ { names = names "\n  " $1 ": " $8 }
        END { printf "%d goals met, %d missed%s\n", ok, missed, names }' "$work/figures"
    say "written to ${json#"$here"/../}"
}

# --- main ---------------------------------------------------------------------------------------

all="echo growth balance crowd syscalls instructions idle micro sleepers sched blocking hog"
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        quick=true
        rounds=3
        seconds=0.3
        hog_seconds=1
        balance_seconds=2
        repeat=5
        ;;
    --build)
        [ $# -gt 1 ] || die "--build DIR"
        build=$2
        shift
        ;;
    -h | --help)
        sed -n '2,/^$/s/^#\( \|$\)//p' "$0"
        exit 0
        ;;
    *)
        case " $all " in
        *" $1 "*) jobs="$jobs $1" ;;
        *) die "no such job: $1 (there are: $all)" ;;
        esac
        ;;
    esac
    shift
done
for program in bench/load bench/peers/bare_epoll bench/idle bench/micro bench/sched bench/latency \
    bench/hog_echo examples/echo examples/echo_future; do
    [ -x "$build/$program" ] || die "not built: $build/$program (use ./dev bench)"
done
build=$(CDPATH='' cd -- "$build" && pwd)
# shellcheck source=bench/sched_jobs.sh
. "$here/sched_jobs.sh"

: >"$work/figures"
look_around
introduce
find_peers
for job in ${jobs:-$all}; do
    "job_$job"
done
write_json
conclude
