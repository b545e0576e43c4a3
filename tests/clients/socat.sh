# socat against both echo servers: many connections at once, each gets back its own bytes.

. "$(dirname "$0")/../support/example.sh"
need socat

connections=30

# exchange NUMBER
exchange() {
    seq "$1" 3000 >"$work/sent-$1"
    socat -t 30 - "TCP:127.0.0.1:$port" <"$work/sent-$1" >"$work/got-$1"
    cmp "$work/sent-$1" "$work/got-$1"
}

for example in echo echo_future; do
    start_server $example --quiet
    pids=
    number=0
    while [ $number -lt $connections ]; do
        number=$((number + 1))
        exchange $number &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || die "a connection to $example did not get back what it sent"
    done
    stop_server
    bytes=$(cat "$work"/sent-* | wc -c)
    expect_line "served $connections connections, $((bytes)) bytes"
    ! printed '^wrote' || die "--quiet was not"
done
