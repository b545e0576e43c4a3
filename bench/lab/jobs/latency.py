"""Latency under an open load: requests are sent by schedule, however late the answers are."""

from statistics import median

from figures import Column
from kinds import Available
from lab import Lab
from loads import lido_load

SHARES = (30, 60, 90)
QUANTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
CONNECTIONS = "64"


def latency(lab: Lab) -> None:
    """Open loop at 30, 60 and 90 % of saturation: p50, p99, p99.9"""
    kinds = lab.doing("echo")
    if lab.kind("lido") is None:
        lab.report.skip("latency", "lido's server is not built")
        return
    full = saturation(lab)
    lab.report.heading(
        f"Latency of an echo of 64 B, open loop, 64 connections, 1 worker; 100 % is what lido"
        f" answers in a closed loop: {full:.0f} requests per second"
    )
    for share in SHARES:
        rate = full * share / 100
        columns = {name: Column(label, "us") for name, label in QUANTILES.items()}
        answered, lateness = Column("answered", "%"), Column("sent late, p99", "us")
        for kind in lab.in_turn(kinds):
            # A sleeping core takes longer to wake than a request takes; this one has nothing else to do.
            spin = ["--spin"] if lab.machine.pinned else []
            result = echo_load(lab, kind, 2 * lab.seconds, "--rate", f"{rate:.0f}", *spin)
            for name, column in columns.items():
                column.add(kind.name, result["latency_ns"][name] / 1000)
            answered.add(kind.name, 100 * result["rate"] / rate)
            lateness.add(kind.name, result["send_lateness_ns"]["p99"] / 1000)
        lab.report.table("latency", f"{share} %", [*columns.values(), answered, lateness])


def echo_load(lab: Lab, kind: Available, seconds: float, *further: str) -> dict:
    """What lido-load says of a server that is started for it."""
    load = ("--connections", CONNECTIONS, "--duration", str(seconds), *further)
    with lab.start(kind, "echo") as server:
        return lido_load(lab.program("load/lido-load"), server, lab.machine.load_cpu, *load)


def saturation(lab: Lab) -> float:
    """Requests per second that lido answers to the same tool in a closed loop, the median of three."""
    return median(echo_load(lab, lab.kind("lido"), lab.seconds)["rate"] for _ in range(3))
