"""A million timers."""

from figures import Column
from lab import Lab
from loads import run

NAMES = ("timer_arm", "timer_cancel", "timer_fire")


def timers(lab: Lab) -> None:
    """A million timers: armed, cancelled, fired"""
    lab.report.heading("A million timers: CPU time for each")
    columns = {name: Column("CPU", "ns") for name in NAMES}
    for kind in lab.in_turn(lab.doing("timers")):
        out = run(kind.command("timers", 1, "--repeat", "1"), lab.machine.server_cpu)
        for line in out.splitlines():
            name, median, *_ = line.split()
            if name in columns:
                columns[name].add(kind.name, float(median))
    for name, column in columns.items():
        lab.report.table("timers", name.removeprefix("timer_"), [column])
