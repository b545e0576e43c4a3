# nc against both echo servers: what is sent comes back, and is counted.

. "$(dirname "$0")/../support/example.sh"
need nc

head -c 2000000 /dev/urandom >"$work/much"

for example in echo echo_future; do
    start_server $example

    # The line that the server tells its user to try.
    line=$(sed -n 's/^try it: *//p' "$work/out")
    [ "$(sh -c "$line")" = hello ] || die "\"$line\" did not print hello"
    await "the connection is told" printed '^wrote 6 bytes$'

    nc -N 127.0.0.1 "$port" <"$work/much" >"$work/back"
    cmp "$work/much" "$work/back" || die "$example changed what was sent"

    stop_server
    expect_line 'workers: 2, reactor: epoll'
    expect_line 'wrote 2000000 bytes'
    expect_line 'served 2 connections, 2000006 bytes'
    [ "$(grep -c '^  worker [12]: 1 connections' "$work/out")" -eq 2 ] ||
        die "the two connections were not dealt to two workers"
done
