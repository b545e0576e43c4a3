"""What the servers that count requests promise."""

import http.client
import random

from promises import descriptors
from promises.connection import connect, exchange, expect_bytes, request_and_answer
from promises.server import PATIENCE, expect


COMMANDS = (
    b"PING\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\na\r\nb*1\r\n$4\r\n\r\n",
    b"GET key with words 12\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"PING\n",
)

HEADS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /path?a=b HTTP/1.1\r\nHost: lab\r\nAccept: */*\r\n\r\n",
    b"GET /other HTTP/1.1\r\nHost: lab\r\nX-Odd: \r\r\n\r\n",
)


def requests_of(job):
    return COMMANDS if job == "ping" else HEADS


def split_anywhere(server, job):
    """The witness is answered after what was sent before: so the server has read the first part alone."""
    request, answer = request_and_answer(server, job)
    requests = requests_of(job)
    stream = b"".join(requests)
    with connect(server) as connection, connect(server) as witness:
        for cut in range(1, len(stream)):
            connection.sendall(stream[:cut])
            exchange(witness, request, answer, "witness")
            connection.sendall(stream[cut:])
            expect_bytes(connection, answer * len(requests), f"split behind {stream[:cut][-20:]}")
        exchange(connection, request, answer, "one more")


def byte_by_byte(server, job):
    _, answer = request_and_answer(server, job)
    requests = requests_of(job)
    with connect(server) as connection:
        for byte in b"".join(requests):
            connection.sendall(bytes([byte]))
        expect_bytes(connection, answer * len(requests), "byte by byte")


def any_number_in_any_pieces(server, job):
    _, answer = request_and_answer(server, job)
    requests = random.choices(requests_of(job), k=20000)
    with connect(server) as connection:
        exchange(connection, b"".join(requests), answer * len(requests), "all at once")
        stream = b"".join(requests[:2000])
        while stream:
            size = random.randrange(1, 3000)
            connection.sendall(stream[:size])
            stream = stream[size:]
        expect_bytes(connection, answer * 2000, "in pieces")


def many_of_the_shortest_in_one_read(server, job):
    """What the counting takes for a request, though no client sends it."""
    _, answer = request_and_answer(server, job)
    request = b"x\n" if job == "ping" else b"\r\n\r\n"
    count = 64000 // len(request)
    with connect(server) as connection:
        exchange(connection, request * count, answer * count, "as many as one read takes")


def one_read_is_answered_by_one_write(server, job):
    request, answer = request_and_answer(server, job)
    with connect(server) as connection:
        exchange(connection, request, answer, "the first")
        before = descriptors.data_segments_received(connection)
        connection.sendall(request * 50)
        expect_bytes(connection, answer * 50, "50 at once")
        segments = descriptors.data_segments_received(connection) - before
    expect(segments == 1, f"50 answers come in {segments} segments")


def is_understood_by_a_client(server, job):
    del job
    connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)
    for _ in range(3):
        connection.request("GET", "/")
        response = connection.getresponse()
        expect(response.status == 200 and len(response.read()) == 13, f"status {response.status}")
        expect(not response.will_close, "does not keep the connection")
    connection.close()
