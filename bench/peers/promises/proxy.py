"""What a proxy promises."""

import socket
import threading

from promises import descriptors
from promises.connection import (
    connect,
    expect_bytes,
    expect_end,
    is_over,
    random_bytes,
    receive,
    reset,
    send_until_full,
    sending,
)
from promises.server import PATIENCE, expect, wait_until


class Pair:
    """A client of a proxy and what the proxy has connected to for it."""

    def __init__(self, server):
        self.client = connect(server)
        self.upstream, _ = server.upstream.accept()
        self.upstream.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.upstream.close()


def through(source, target, data, what):
    thread = sending(source, data)
    expect_bytes(target, data, what)
    thread.join()


def bytes_go_both_ways(server, job):
    del job
    with Pair(server) as pair:
        for size in (1, 64, 16385, 65537, 1000000):
            through(pair.client, pair.upstream, random_bytes(size), f"{size} bytes to the server")
            through(pair.upstream, pair.client, random_bytes(size), f"{size} bytes from the server")
        there, back = random_bytes(5_000_000), random_bytes(5_000_000)
        threads = [sending(pair.client, there), sending(pair.upstream, back)]
        reader = threading.Thread(target=lambda: received.append(receive(pair.upstream, len(there))))
        received = []
        reader.start()
        expect_bytes(pair.client, back, "from the server, both ways at once")
        for thread in [*threads, reader]:
            thread.join()
        expect(received[0] == there, "to the server, both ways at once")


def half_closes_are_passed_on(server, job):
    del job
    for ends_first in ("client", "upstream"):
        with Pair(server) as pair:
            first, second = pair.client, pair.upstream
            if ends_first == "upstream":
                first, second = second, first
            question, answer = random_bytes(300000), random_bytes(300000)
            thread = sending(first, question, then_shut=True)
            expect_bytes(second, question, f"{ends_first} ends first")
            expect_end(second, f"{ends_first} ends first")
            thread.join()
            thread = sending(second, answer, then_shut=True)
            expect_bytes(first, answer, f"after the end of {ends_first}")
            expect_end(first, "the other direction")
            thread.join()


def empty_connections_end(server, job):
    del job
    with Pair(server) as pair:
        pair.client.shutdown(socket.SHUT_WR)
        expect_end(pair.upstream, "nothing was sent")
        pair.upstream.close()
        expect_end(pair.client, "nothing was answered")


def slow_reader_is_waited_for(server, job):
    del job
    before = server.memory()
    pattern = random_bytes(100000)
    with Pair(server) as pair:
        sent = send_until_full(pair.client, pattern, 100_000_000)
        grown = server.memory() - before
        expect(sent < 100_000_000, "goes on reading although nothing is taken")
        expect(grown < 16_000_000, f"keeps {grown} bytes for one who does not read")
        pair.client.shutdown(socket.SHUT_WR)
        expected = (pattern * (sent // len(pattern) + 1))[:sent]
        expect_bytes(pair.upstream, expected, "what was kept")
        expect_end(pair.upstream, "after all")


def broken_pair_ends_alone(server, job):
    del job
    with Pair(server) as witness:
        through(witness.client, witness.upstream, b"before", "witness")
        count = server.descriptor_count()
        for _ in range(20):
            with Pair(server) as pair:
                pair.client.sendall(b"something")
                reset(pair.client)
                is_over(pair.upstream)
            with Pair(server) as pair:
                pair.upstream.sendall(b"something")
                reset(pair.upstream)
                is_over(pair.client)
        through(witness.client, witness.upstream, b"after", "witness")
        # Of 40 pairs. One that splices may keep a few pipes for those that come.
        wait_until(lambda: server.descriptor_count() < count + 20, "keeps descriptors of the dead")


def no_delay(server, job):
    del job
    with Pair(server) as pair:
        through(pair.client, pair.upstream, b"there", "witness")
        sockets = [s for pid in server.processes() for s in descriptors.tcp_sockets(pid)]
        connections = [s for s in sockets if not descriptors.is_listener(s)]
        expect(len(connections) == 2, f"{len(connections)} connections for one client")
        for s in connections:
            expect(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "no TCP_NODELAY")
        for s in sockets:
            s.close()


def refused_upstream_ends_the_client(server, job):
    """The last promise of a proxy: its upstream is gone afterwards."""
    del job
    server.upstream.close()
    for _ in range(3):
        with connect(server) as client:
            is_over(client)
