"""What all TCP servers promise."""

import random
import socket

from promises import descriptors
from promises.connection import (
    connect,
    exchange,
    expect_bytes,
    expect_end,
    random_bytes,
    request_and_answer,
    reset,
    send_until_full,
    sending,
)
from promises.server import expect, wait_until


def many_connections_at_once(server, job):
    request, answer = request_and_answer(server, job)
    connections = [connect(server) for _ in range(1000)]
    for _ in range(2):
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            expect_bytes(connection, answer, "one of 1000 connections")
    for connection in connections:
        connection.close()


def no_delay_backlog_and_reuse(server, job):
    request, answer = request_and_answer(server, job)
    with connect(server) as connection:
        exchange(connection, request, answer, "the connection")
        sockets = [s for pid in server.processes() for s in descriptors.tcp_sockets(pid)]
        hidden = server.registered_count()
    listeners = [s for s in sockets if descriptors.is_listener(s)]
    expect(listeners and len(sockets) + hidden > len(listeners), "its sockets were not found")
    wanted = min(4096, descriptors.longest_backlog())
    for s in listeners:
        expect(descriptors.backlog(s) == wanted, f"backlog {descriptors.backlog(s)}")
        expect(s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR), "no SO_REUSEADDR")
    for s in sockets:
        if hidden or s not in listeners:  # a connection that is hidden has it from its listener
            expect(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "no TCP_NODELAY")
        s.close()


def half_closed_is_answered_to_the_end(server, job):
    request, answer = request_and_answer(server, job)
    with connect(server) as connection:
        thread = sending(connection, request * 20000, then_shut=True)
        expect_bytes(connection, answer * 20000, "answers")
        expect_end(connection, "after all answers")
        thread.join()


def slow_reader_is_waited_for(server, job):
    """It takes nothing: then neither does the server, and it loses nothing."""
    request, answer = request_and_answer(server, job)
    before = server.memory()
    with connect(server) as connection:
        sent = send_until_full(connection, request * 10000, 100_000_000)
        grown = server.memory() - before
        expect(sent < 100_000_000, "goes on reading although nothing is taken")
        expect(grown < 16_000_000, f"keeps {grown} bytes for one who does not read")
        count = sent // len(request) + 1
        thread = sending(connection, request[sent % len(request) :], then_shut=True)
        expect_bytes(connection, answer * count, "what was kept")
        expect_end(connection, "after all answers")
        thread.join()


def others_are_served_beside_a_slow_reader(server, job):
    request, answer = request_and_answer(server, job)
    slow = [connect(server) for _ in range(4)]
    for connection in slow:
        send_until_full(connection, request * 10000, 100_000_000)
    with connect(server) as connection:
        exchange(connection, request, answer, "one beside those")
    for connection in slow:
        reset(connection)


def broken_connection_ends_alone(server, job):
    request, answer = request_and_answer(server, job)
    with connect(server) as witness:
        exchange(witness, request, answer, "before")
        count = server.descriptor_count()
        for _ in range(50):
            connection = connect(server)
            connection.sendall(request * 100)
            reset(connection)
        full = connect(server)
        send_until_full(full, request * 10000, 100_000_000)
        reset(full)
        exchange(witness, request, answer, "after others were reset")
        wait_until(lambda: server.descriptor_count() <= count, "keeps descriptors of the dead")


# --- echo -----------------------------------------------------------------------------------------


def bytes_come_back(server, job):
    with connect(server) as connection:
        for size in (1, 2, 64, 1024, 16383, 16384, 16385, 65535, 65536, 65537, 200000, 3000000):
            data = random_bytes(size)
            exchange(connection, data, data, f"{size} bytes")
        for _ in range(200):
            data = random_bytes(random.randrange(1, 100000))
            exchange(connection, data, data, f"{len(data)} bytes")
