"""TCP echo: what a request costs the server."""

from contextlib import ExitStack

from figures import Column, Ratio, count
from lab import Lab
from loads import Target, closed
from report import Failure

# Of the design: what lido may cost beside the loop that one would write by hand.
LIMITS = {"lido": 1.02, "lido futures": 1.02, "lido stealing": 1.04}


def echo(lab: Lab) -> None:
    """TCP echo of 64 B, 1 KiB and 16 KiB over 1 to 10 000 connections, 1 and 2 workers"""
    lab.report.heading("TCP echo: CPU time of the server per request")
    cases = {
        f"{size} B, {count(connections, 'connection')}, {count(workers, 'worker')}": (
            workers,
            connections,
            size,
        )
        for workers in (1, 2)
        for connections in (1, 64, 1000, 10_000)
        for size in (64, 1024, 16_384)
    }
    named = {case: numbers for case, numbers in cases.items() if lab.case in case}
    if not named:
        raise Failure(f"no case has {lab.case} in its title: {'; '.join(cases)}")
    for case, numbers in named.items():
        if lab.has_room("echo", case, numbers[1]):
            echo_case(lab, case, *numbers)


def echo_case(lab: Lab, case: str, workers: int, connections: int, size: int) -> None:
    """One table. The goals are for small messages and one worker, where the loop is the limit."""
    columns = lab.measure_echo(lab.doing("echo", workers, connections), workers, connections, size)
    lab.report.table("echo", case, columns)
    costs = columns[0].series
    if "bare epoll" not in costs or workers > 1 or size > 64:
        return
    for kind, limit in LIMITS.items():
        if kind in costs:
            lab.report.goal(
                "echo",
                case,
                f"{kind} / bare epoll",
                "x",
                Ratio(costs[kind], costs["bare epoll"], columns[0].paired),
                limit if connections in (64, 1000) else None,
            )


def growth(lab: Lab) -> None:
    """2 and 4 workers against 1, beside the bare loop with as many threads"""
    lab.report.heading("Workers: CPU time of the server per echo of 64 B, 64 connections, not pinned")
    kinds = [kind for kind in (lab.kind("lido"), lab.kind("bare epoll")) if kind]
    costs = Column("CPU/request", "ns")
    for seed in range(1, lab.rounds + 1):
        with ExitStack() as stack:
            cases = [(kind, workers) for kind in kinds for workers in (1, 2, 4)]
            # All of them on all CPUs: one worker that is pinned is another thing.
            servers = [
                stack.enter_context(lab.start_anywhere(kind, "echo", workers)) for kind, workers in cases
            ]
            found = closed(
                lab.program("bench/load"),
                [Target(server, 64) for server in servers],
                lab.machine.all_cpus,
                lab.seconds,
                seed,
            )
        for (kind, workers), cost in zip(cases, found, strict=True):
            costs.add(f"{kind.name} x {workers}", cost.cpu_ns)
    for kind in kinds:
        for workers in (2, 4):
            lab.report.goal(
                "growth",
                f"{workers} workers",
                f"{kind.name}: {workers} workers / 1",
                "x",
                Ratio(
                    costs.series[f"{kind.name} x {workers}"], costs.series[f"{kind.name} x 1"], paired=True
                ),
                1.05 if kind.name == "lido" else None,
            )


def crowd(lab: Lab) -> None:
    """64 active connections of 10 000 against 64 alone"""
    lab.report.heading("Idle connections: CPU time per echo of 64 B, 64 active of 10 000 against 64 alone")
    if not lab.has_room("crowd", "64 of 10 000", 10_000):
        return
    for kind in lab.doing("echo"):
        if kind.name not in ("lido", "lido futures", "bare epoll"):
            continue
        costs = []
        for _ in range(lab.rounds):
            with lab.start(kind, "echo") as alone, lab.start(kind, "echo") as crowded:
                few, many = closed(
                    lab.program("bench/load"),
                    [Target(alone, 64), Target(crowded, 10_000, active=64)],
                    lab.machine.load_cpu,
                    lab.seconds,
                )
            costs.append(many.cpu_ns / few.cpu_ns)
        lab.report.goal(
            "crowd",
            "64 of 10 000",
            f"{kind.name}: 64 of 10 000 / 64 alone",
            "x",
            costs,
            None if kind.name == "bare epoll" else 1.05,
        )
