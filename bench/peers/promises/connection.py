"""TCP connections to a peer, and what one may expect of them."""

import random
import select
import socket
import struct
import threading

from promises.server import PATIENCE, Broken, expect


def connect(server):
    connection = socket.create_connection(server.address, timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection, size):
    """So many bytes, or less if it ends before."""
    parts = []
    while size > 0:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def expect_bytes(connection, expected, what):
    got = receive(connection, len(expected))
    if got == expected:
        return
    same = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), len(got))
    raise Broken(f"{what}: {len(got)} bytes of {len(expected)}, the first {same} are right")


def expect_end(connection, what):
    expect(connection.recv(1) == b"", f"{what}: something comes where the stream should end")


def is_over(connection):
    """It ends, or is reset."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass


def sending(connection, data, then_shut=False):
    """Another thread sends, for the other side may want to be read meanwhile."""

    def send():
        try:
            connection.sendall(data)
            if then_shut:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # what is received tells it, too

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def exchange(connection, data, expected, what):
    thread = sending(connection, data)
    expect_bytes(connection, expected, what)
    thread.join()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_until_full(connection, pattern, most):
    """Sends the pattern again and again until nobody takes it; how many bytes that was."""
    sent = 0
    connection.setblocking(False)
    # That nobody takes it any more can only be seen by waiting for a while.
    while sent < most and select.select([], [connection], [], 0.5)[1]:
        try:
            sent += connection.send(pattern[sent % len(pattern) :])
        except BlockingIOError:
            pass
    connection.settimeout(PATIENCE)
    return sent


def random_bytes(size):
    return random.randbytes(size)


def request_and_answer(server, job):
    if job == "ping":
        return b"PING\r\n", b"+PONG\r\n"
    if job == "http":
        request = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
        return request, http_answer(server, request)
    data = random_bytes(64)
    return data, data


def http_answer(server, request):
    """The fixed response, whatever it looks like, once it has been seen to be one."""
    with connect(server) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < 13 or b"\r\n\r\n" not in answer[:-13]:
            part = connection.recv(65536)
            expect(part, f"not a response: {answer}")
            answer += part
    head, body = answer.split(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    expect(lines[0] == b"http/1.1 200 ok", f"not a status line: {lines[0]}")
    expect(b"content-length: 13" in lines and len(body) == 13, f"not 13 bytes of text: {answer}")
    return answer
