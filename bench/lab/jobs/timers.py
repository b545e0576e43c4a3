"""A million timers."""

from lab import Lab

TITLES = {"timer_arm": "arm", "timer_cancel": "cancel", "timer_fire": "fire"}


def timers(lab: Lab) -> None:
    """A million timers: armed, cancelled, fired"""
    lab.report.heading("A million timers: CPU time for each")
    ours = {"lido": [lab.program("bench/lido_timers"), "timers"]}
    for name, column in lab.run_in_turn(lab.programs("timers", 1, 1, ours)).items():
        if name in TITLES:
            lab.report.table("timers", TITLES[name], [column])
