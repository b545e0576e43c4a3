"""How long an answer takes: under an open load, and how evenly a full server lets its clients wait."""

from statistics import median

from figures import Column, count, human
from kinds import Available
from lab import Lab
from loads import lido_load

SHARES = (30, 60, 90)
QUANTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
CONNECTIONS = 64


def latency(lab: Lab) -> None:
    """Open loop at 30, 60 and 90 % of saturation: p50, p99, p99.9"""
    if lab.kind("lido") is None:
        lab.report.skip("latency", "lido's server is not built")
        return
    lab.report.heading(
        f"Latency of an echo of 64 B, open loop, {CONNECTIONS} connections, 1 worker; 100 % is what lido"
        " answers in a closed loop, measured in each round anew: a shared machine is not always as fast"
    )
    for share in SHARES:
        lab.report.table("latency", f"{share} %", latencies(lab, share))


def latencies(lab: Lab, share: int) -> list[Column]:
    columns = {name: Column(label, "us") for name, label in QUANTILES.items()}
    answered, lateness = Column("answered", "%"), Column("sent late, p99", "us")
    # A sleeping core takes longer to wake than a request takes; this one has nothing else to do.
    spin = ["--spin"] if lab.machine.pinned else []
    for turn in lab.turns(lab.doing("echo")):
        rate = saturation(lab) * share / 100
        lab.report.say(f"    {share} %: {human(rate)} requests per second")
        for kind in turn:
            load = ("--rate", f"{rate:.0f}", *spin)
            result = echo_load(lab, kind, CONNECTIONS, 2 * lab.seconds, *load)
            for name, column in columns.items():
                column.add(kind.name, result["latency_ns"][name] / 1000)
            answered.add(kind.name, 100 * result["rate"] / rate)
            lateness.add(kind.name, result["send_lateness_ns"]["p99"] / 1000)
    return [*columns.values(), answered, lateness]


def fairness(lab: Lab) -> None:
    """Closed loop of 1000 and 10 000 connections, all waiting for the server: p99, p50, p99.9"""
    lab.report.heading(
        "Fairness: latency of an echo of 64 B, closed loop, 1 worker that is never done. Who serves some of its"
        " connections often and others seldom has their data in its cache, and a p99 far above its p50"
    )
    for connections in (1000, 10_000):
        case = count(connections, "connection")
        if not lab.has_room("fairness", case, connections):
            continue
        columns = {name: Column(QUANTILES[name], "ms") for name in ("p99", "p50", "p999")}
        rate = Column("rate", "1/s")
        # Somebody who is served seldom must have had time to be served at all.
        seconds = 6 * lab.seconds
        for kind in lab.in_turn(lab.doing("echo", 1, connections)):
            result = echo_load(lab, kind, connections, seconds)
            for name, column in columns.items():
                column.add(kind.name, result["latency_ns"][name] / 1e6)
            rate.add(kind.name, result["rate"])
        lab.report.table("fairness", case, [*columns.values(), rate])


def echo_load(lab: Lab, kind: Available, connections: int, seconds: float, *further: str) -> dict:
    """What lido-load says of a server that is started for it."""
    load = ("--connections", str(connections), "--duration", str(seconds), *further)
    with lab.start(kind, "echo") as server:
        return lido_load(lab.program("load/lido-load"), server, lab.machine.load_cpu, *load)


def saturation(lab: Lab) -> float:
    """Requests per second that lido answers to the same tool in a closed loop, the median of three."""
    rates = [echo_load(lab, lab.kind("lido"), CONNECTIONS, lab.seconds)["rate"] for _ in range(3)]
    return median(rates)
