"""How connections and their work are spread over workers."""

from pathlib import Path

from figures import Column
from lab import Lab
from loads import Target, closed
from server import Server


def thread_ticks(server: Server) -> dict[str, int]:
    """CPU time of each thread so far, in clock ticks."""
    ticks = {}
    for pid in server.pids():
        for thread in Path(f"/proc/{pid}/task").iterdir():
            # The name may have blanks and is in parentheses: user and system time are the 12th and 13th after.
            fields = (thread / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks[thread.name] = int(fields[11]) + int(fields[12])
    return ticks


def busier_by_other(server: Server, lab: Lab, seconds: float) -> float:
    """CPU time of the busiest thread under load by that of the next."""
    before = thread_ticks(server)
    closed(lab.program("bench/load"), [Target(server, 64)], lab.machine.all_cpus, seconds)
    spent = sorted(
        (ticks - before.get(thread, 0) for thread, ticks in thread_ticks(server).items()), reverse=True
    )
    return spent[0] / max(1, spent[1] if len(spent) > 1 else 0)


def balance(lab: Lab) -> None:
    """Work stealing: 64 connections that all began on one of two workers"""
    lab.report.heading("Work stealing: 64 connections that all began on one of two workers")
    kind = lab.kind("lido stealing")
    if kind is None:
        lab.report.skip("balance", "lido's server is not built")
        return
    values = []
    for _ in range(lab.rounds):
        with lab.start(kind, "echo", 2, "--deal", "here") as server:
            values.append(busier_by_other(server, lab, 4 * lab.seconds))
    lab.report.goal("balance", "2 workers", "CPU time of the busier worker / of the other", "x", values, 1.2)


def accept(lab: Lab) -> None:
    """How 64 connections are dealt over two workers: CPU time of the busier by that of the other"""
    lab.report.heading("Accepting: 64 connections, 2 workers")
    spread = Column("busier/other", "x")
    for kind in lab.in_turn(lab.doing("echo", 2)):
        with lab.start(kind, "echo", 2) as server:
            spread.add(kind.name, busier_by_other(server, lab, 2 * lab.seconds))
    lab.report.table("accept", "64 connections, 2 workers", [spread])
