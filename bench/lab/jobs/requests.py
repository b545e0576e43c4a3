"""Request and answer in the protocols that users know, by the tools that they know."""

from figures import Column, Ratio
from lab import Lab
from loads import Answered, Cost, lido_load, redis_benchmark, with_cost, wrk
from machine import find
from server import Server


def ping(lab: Lab) -> None:
    """Redis PING, not pipelined and 16 deep (redis-benchmark)"""
    if not find("redis-benchmark"):
        lab.report.skip("ping", "there is no redis-benchmark here (apt-get install redis-tools)")
        return
    lab.report.heading("PING by redis-benchmark, 50 connections, 1 worker")
    for depth in (1, 16):
        # So many that it takes about the time that there is, at some 100 000 and 1 000 000 a second.
        requests = round(lab.seconds * (100_000 if depth == 1 else 1_000_000))

        def load(server: Server, depth: int = depth, requests: int = requests) -> Cost:
            return with_cost(
                server, lambda: redis_benchmark(server, lab.machine.load_cpu, requests, 50, depth)
            )

        lab.report.table("ping", f"-P {depth}", lab.measure("ping", 1, load))


def http(lab: Lab) -> None:
    """HTTP/1.1 keep-alive hello (wrk)"""
    if not find("wrk"):
        lab.report.skip("http", "there is no wrk here (apt-get install wrk)")
        return
    lab.report.heading("HTTP/1.1 keep-alive by wrk, 1 worker")
    for connections in (64, 1000):

        def load(server: Server, connections: int = connections) -> Cost:
            return with_cost(server, lambda: wrk(server, lab.machine.load_cpu, lab.seconds, connections))

        lab.report.table("http", f"{connections} connections", lab.measure("http", 1, load))


def churn(lab: Lab) -> None:
    """A connection for each request: connect, one echo of 64 B, close"""
    lab.report.heading("Connection churn: connect, one request, close; 16 at a time, 1 worker")

    def load(server: Server) -> Cost:
        return by_lido_load(lab, server, "--connections", "16", "--churn", "--reset")

    lab.report.table("churn", "64 B", lab.measure("echo", 1, load))


def udp(lab: Lab) -> None:
    """UDP echo of 64 B"""
    lab.report.heading("UDP echo of 64 B, 64 sockets, 1 worker")

    def load(server: Server) -> Cost:
        return by_lido_load(lab, server, "--connections", "64", scheme="udp:")

    lab.report.table("udp", "64 B", lab.measure("udp", 1, load))


def by_lido_load(lab: Lab, server: Server, *arguments: str, scheme: str = "") -> Cost:
    """A closed loop of lido-load; the cost is that of all it has asked for."""

    def load() -> Answered:
        result = lido_load(
            lab.program("load/lido-load"),
            server,
            lab.machine.load_cpu,
            *arguments,
            "--duration",
            str(lab.seconds),
            scheme=scheme,
        )
        return Answered(result["requests"], result["rate"])

    return with_cost(server, load)


def load_tools(lab: Lab) -> None:
    """lido-load beside wrk and redis-benchmark on the same server: do they measure the same?"""
    kind = lab.kind("bare epoll")
    if kind is None or not find("wrk") or not find("redis-benchmark"):
        lab.report.skip("load", "needs the bare epoll loop, wrk and redis-benchmark")
        return
    lab.report.heading("Load tools: requests per second that they get out of the same bare epoll loop")
    cpus, program = lab.machine.load_cpu, lab.program("load/lido-load")
    rates = Column("rate", "1/s")
    requests = round(lab.seconds * 100_000)
    for _ in range(lab.rounds):
        with lab.start(kind, "http") as server:
            rates.add("wrk", wrk(server, cpus, lab.seconds, 64).rate)
            rates.add(
                "lido-load http",
                lido_load(
                    program,
                    server,
                    cpus,
                    "--protocol",
                    "http",
                    "--connections",
                    "64",
                    "--duration",
                    str(lab.seconds),
                )["rate"],
            )
        with lab.start(kind, "ping") as server:
            for depth in (1, 16):
                theirs = redis_benchmark(server, cpus, requests * depth, 50, depth)
                rates.add(f"redis-benchmark -P {depth}", theirs.rate)
                rates.add(
                    f"lido-load ping -P {depth}",
                    lido_load(
                        program,
                        server,
                        cpus,
                        "--protocol",
                        "ping",
                        "--connections",
                        "50",
                        "--depth",
                        str(depth),
                        "--duration",
                        str(lab.seconds),
                    )["rate"],
                )
    lab.report.table("load", "rate", [rates])
    series = rates.series
    for ours, theirs in (
        ("lido-load http", "wrk"),
        ("lido-load ping -P 1", "redis-benchmark -P 1"),
        ("lido-load ping -P 16", "redis-benchmark -P 16"),
    ):
        lab.report.goal(
            "load", "rate", f"{ours} / {theirs}", "x", Ratio(series[ours], series[theirs], paired=False), None
        )
