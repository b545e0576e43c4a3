"""Echo beside a task that computes."""

from dataclasses import replace

from figures import Column
from kinds import Available
from lab import Lab
from loads import lido_load

HOG = ("--hog", "200:220")
# Few messages, because that is when nobody looks at the sockets: a busy server is always awake.
LOAD = ("--connections", "16", "--rate", "400")
LIMITS = {"lido stealing": 5, "lido rescuable": 5}


def kinds_of(lab: Lab) -> list[Available]:
    """Also connections of an I/O pool that may be moved off a worker that is stuck."""
    kinds = lab.doing("hog", 2)
    lido = lab.kind("lido")
    if lido:
        arguments = (*lido.kind.arguments, "--mobility", "rescuable")
        kinds.append(replace(lido, kind=replace(lido.kind, name="lido rescuable", arguments=arguments)))
    return kinds


def hog(lab: Lab) -> None:
    """Echo beside a task that computes for 200 of every 220 ms, 2 workers"""
    lab.report.heading(
        "Echo, 2 workers, 400 messages a second, beside a task that computes for 200 of 220 ms"
    )
    columns = {name: Column(name, "ms") for name in ("p50", "p99", "max")}
    alone = Column("p99 without", "ms")
    for kind in lab.in_turn(kinds_of(lab)):
        beside = latency_of(lab, kind, "hog", *HOG)
        for name, column in columns.items():
            column.add(kind.name, beside[name] / 1e6)
        alone.add(kind.name, latency_of(lab, kind, "echo")["p99"] / 1e6)
    lab.report.table("hog", "200 of 220 ms", [columns["p99"], columns["p50"], columns["max"], alone])
    for kind, limit in LIMITS.items():
        if kind in columns["p99"].series:
            lab.report.goal("hog", "200 of 220 ms", f"{kind}: p99", "ms", columns["p99"].series[kind], limit)


def latency_of(lab: Lab, kind: Available, job: str, *further: str) -> dict:
    with lab.start(kind, job, 2, *further) as server:
        return lido_load(
            lab.program("load/lido-load"),
            server,
            lab.machine.all_cpus,
            *LOAD,
            "--duration",
            str(3 * lab.seconds),
        )["latency_ns"]
