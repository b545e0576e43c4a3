# shellcheck shell=sh
# The jobs of run.sh that set lido's schedulers beside each other and beside tokio. A round runs each
# program once, A B C A B C, and gives one ratio of two of them.

# shellcheck disable=SC2154 # build, rounds, ... are run.sh's
# shellcheck disable=SC2016,SC2046,SC2086 # awk's columns; lists and commands with their arguments

tokio=$build/peers/tokio/release
peers=
lido_kinds="io-pool work-stealing"

# Sets peers; all that is told of one that is missing is that it is.
find_peers() {
    if [ -x "$tokio/tokio-sched" ] && [ -x "$tokio/tokio-echo" ]; then
        peers=$("$tokio/tokio-sched" --version)
        say "peer      $peers"
    else
        say "peer      tokio: missing (./dev bench builds it of librust-tokio-dev, cargo and rustc)"
    fi
}

# kinds_of WORKERS: what is measured. "tokio" is its multi_thread scheduler.
kinds_of() {
    [ -z "$peers" ] || say "tokio"
    [ -z "$peers" ] || [ "$1" -gt 1 ] || say "current_thread"
    say "$lido_kinds"
}

# sched_command_of KIND WORKERS
sched_command_of() {
    case $1 in
    tokio) say "$tokio/tokio-sched --scheduler multi_thread --workers $2" ;;
    current_thread) say "$tokio/tokio-sched --scheduler current_thread" ;;
    *) say "$build/bench/sched --scheduler $1 --workers $2" ;;
    esac
}

# measure_sched WORKERS NAME...: a file $work/KIND.NAME each, a line per round.
measure_sched() {
    sched_workers=$1
    shift
    rm -f "$work"/*.ns
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for kind in $(kinds_of "$sched_workers"); do
            $(sched_command_of "$kind" "$sched_workers") --repeat "$repeat" "$@" >"$work/sched" \
                2>>"$work/err" || die "sched failed: $kind: $(cat "$work/err")"
            while read -r name median rest; do
                echo "$median" >>"$work/$kind.$name.ns"
            done <"$work/sched"
        done
        round=$((round + 1))
    done
}

# least_of PEER NAME: how many times as fast. tokio's current_thread does not pay for other threads.
least_of() {
    [ "$1" = tokio ] || {
        say ">=1"
        return
    }
    case $2 in
    # A write, a read and a share of an epoll_wait: a bare loop takes as long, whoever asks for them.
    notify_many) say ">=1" ;;
    spawn_* | chained_spawn | yield_many | ping_pong) say ">=4" ;;
    # After its first section the task of tokio has no worker any more, and the next ones are free.
    section | section_delay) say - ;;
    *) say ">=1" ;;
    esac
}

# limit_of KIND NAME: in ns.
limit_of() {
    case $1/$2 in
    tokio/* | current_thread/*) say - ;;
    */section) say 60 ;;
    */section_delay) say 100000 ;;
    *) say - ;;
    esac
}

# figures_of WORKERS NAME...: of what has been measured.
figures_of() {
    sched_workers=$1
    shift
    for name; do
        for kind in $(kinds_of "$sched_workers"); do
            # It has no jobs that need a second thread.
            [ "$kind" != current_thread ] || [ -e "$work/$kind.$name.ns" ] || continue
            figure "$name/$sched_workers: $kind" ns "$(limit_of "$kind" "$name")" \
                $(stats '$1' "$work/$kind.$name.ns")
        done
        for kind in $lido_kinds; do
            for peer in tokio current_thread; do
                [ -e "$work/$peer.$name.ns" ] || continue
                paste -d ' ' "$work/$peer.$name.ns" "$work/$kind.$name.ns" >"$work/costs"
                figure "  $name/$sched_workers: $peer / $kind" x "$(least_of "$peer" "$name")" \
                    $(stats '$1 / $2' "$work/costs")
            done
        done
    done
}

job_sched() {
    names="spawn_many_local spawn_many_task spawn_many_remote_idle chained_spawn spawn_join yield_many
        ping_pong notify_many channel channel_contended oneshot"
    heading "Schedulers, 1 and 2 workers: time per operation, and how many times as fast as tokio"
    for workers in 1 2; do
        measure_sched "$workers" $names
        figures_of "$workers" $names
    done
}

job_blocking() {
    names="section section_yield section_spawn section_delay"
    heading "Blocking sections, 1 worker: time per section; what one of 1 ms costs its neighbours"
    measure_sched 1 $names
    figures_of 1 $names
    names="cpu_bound cpu_bound_spawn"
    heading "A thousand tasks with a section each, 2 workers, at most 20 blocking: time per task"
    measure_sched 2 $names
    figures_of 2 $names
}

# --- beside a hog -------------------------------------------------------------------------------

# hog_command_of KIND [HOG]: "rescuable" are such connections in an I/O pool.
hog_command_of() {
    hog=${2:+--hog $2}
    case $1 in
    tokio) say "$tokio/tokio-echo --workers 2 $hog" ;;
    rescuable) say "$build/bench/hog_echo --mobility rescuable --workers 2 $hog" ;;
    *) say "$build/bench/hog_echo --scheduler $1 --workers 2 $hog" ;;
    esac
}

# beside_hog KIND [HOG]: appends "p50 p99 max", in ms, to $work/KIND[.hog].ms.
beside_hog() {
    start_server $(hog_command_of "$@")
    "$build/bench/latency" --connections 16 --rate 400 --seconds "$hog_seconds" "$server_address" \
        >"$work/latency" || die "latency failed: $(cat "$work/err")"
    stop_servers
    awk '{ print $6 / 1e6, $10 / 1e6, $14 / 1e6 }' "$work/latency" >>"$work/$1${2:+.hog}.ms"
}

# Few messages, because that is when nobody looks at the sockets: a busy server is always awake.
job_hog() {
    heading "Echo, 2 workers, 400 messages a second, beside a task that computes for 200 of 220 ms"
    rm -f "$work"/*.ms
    kinds="$(kinds_of 2) rescuable"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for kind in $kinds; do
            beside_hog "$kind" 200:220
            beside_hog "$kind"
        done
        round=$((round + 1))
    done
    for kind in $kinds; do
        case $kind in
        work-stealing | rescuable) limit=5 ;;
        *) limit=- ;;
        esac
        figure "$kind: p50" ms - $(stats '$1' "$work/$kind.hog.ms")
        figure "$kind: p99" ms "$limit" $(stats '$2' "$work/$kind.hog.ms")
        figure "$kind: longest" ms - $(stats '$3' "$work/$kind.hog.ms")
        figure "  control: p99 without the hog" ms - $(stats '$2' "$work/$kind.ms")
    done
}
