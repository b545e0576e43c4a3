"""What a UDP server promises."""

import socket

from promises.connection import random_bytes
from promises.server import PATIENCE, expect


def udp_client(server):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(PATIENCE)
    client.connect(server.address)
    return client


def datagrams_come_back(server, job):
    del job
    with udp_client(server) as client:
        for size in (1, 64, 1472, 9000, 65507, 2):
            data = random_bytes(size)
            client.send(data)
            expect(client.recv(65536) == data, f"a datagram of {size} bytes")
        client.send(b"")
        expect(client.recv(65536) == b"", "an empty datagram")


def each_gets_its_own(server, job):
    del job
    clients = [udp_client(server) for _ in range(50)]
    for _ in range(20):
        for i, client in enumerate(clients):
            client.send(f"I am {i}".encode())
        for i, client in enumerate(clients):
            expect(client.recv(65536) == f"I am {i}".encode(), "a datagram of somebody else")
    for client in clients:
        client.close()


def one_that_is_gone_does_no_harm(server, job):
    for _ in range(50):
        with udp_client(server) as client:
            client.send(b"gone")
    datagrams_come_back(server, job)
