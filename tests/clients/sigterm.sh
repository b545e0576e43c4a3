# SIGTERM: nobody is accepted any more, open connections may end within the grace period, and those
# that do not are cut off. The exit status is 0 either way.

. "$(dirname "$0")/../support/example.sh"
need nc

mkfifo "$work/in"

# An open connection, to whose standard input file descriptor 3 is open.
open_connection() {
    : >"$work/back"
    nc -N 127.0.0.1 "$port" <"$work/in" >"$work/back" &
    client=$!
    exec 3>"$work/in"
    say first
}

# say TEXT: and await it from the server.
say() {
    echo "$1" >&3
    await "\"$1\" comes back" grep -q "^$1\$" "$work/back"
}

refuses() {
    ! nc -z 127.0.0.1 "$port" 2>/dev/null
}

for example in echo echo_future; do
    for signal in TERM INT; do
        start_server $example --grace 30000
        open_connection
        kill -$signal "$server"
        await "it says that it stops" printed '^stopping: open connections have 30000 ms to end$'
        await "connections are refused" refuses
        say second
        exec 3>&-
        wait "$client" || die "the connection was not ended in order"
        client=
        end_server
        expect_line 'wrote 13 bytes'
        expect_line 'served 1 connections, 13 bytes'
    done

    start_server $example --grace 50
    open_connection
    kill -TERM "$server"
    end_server
    expect_line 'stopping: open connections have 50 ms to end'
    expect_line 'served 1 connections, 6 bytes'
    exec 3>&-
    wait "$client" || true
    client=
done
