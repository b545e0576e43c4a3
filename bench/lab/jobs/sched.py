"""The scheduler benchmarks: tokio's own, and the like, in lido and in its peers."""

from figures import Column, count, ratio
from lab import Lab

# How many times as fast as tokio. What else is measured may not be slower. A write, a read and a share of an
# epoll_wait is what a bare loop takes for a notify, too.
FOUR_TIMES = (
    "spawn_many_local",
    "spawn_many_task",
    "spawn_many_remote_idle",
    "chained_spawn",
    "spawn_join",
    "yield_many",
    "ping_pong",
)
# After its first section a task of tokio's has no worker any more, and the next ones cost it nothing.
OTHERWISE = ("section", "section_delay")

# Of the design, in ns on one worker.
LIMITS = {
    "yield_many": 6,
    "spawn_join": 30,
    "spawn_many_remote_idle": 60,
    "chained_spawn": 25,
    "ping_pong": 80,
    "channel": 10,
    "section": 60,
    "section_delay": 100_000,
}


def sched(lab: Lab) -> None:
    """Spawning, yielding, messages, blocking sections: tokio's scheduler benchmarks and more, 1 and 2 workers"""
    lab.report.heading("Schedulers: time per operation")
    for workers in (1, 2):
        ours = {
            kind: [lab.program("bench/sched"), "--scheduler", scheduler, "--workers", str(workers)]
            for kind, scheduler in (("lido", "io-pool"), ("lido stealing", "work-stealing"))
        }
        for name, column in lab.run_in_turn("sched", workers, 3 if lab.quick else 5, ours).items():
            case = f"{name}, {count(workers, 'worker')}"
            lab.report.table("sched", case, [column])
            judge(lab, case, name, workers, column)


def judge(lab: Lab, case: str, name: str, workers: int, column: Column) -> None:
    costs = column.series
    if workers == 1 and name in LIMITS and "lido" in costs:
        lab.report.goal("sched", case, "lido", "ns", costs["lido"], LIMITS[name])
    if "tokio" not in costs or name in OTHERWISE:
        return
    for ours in ("lido", "lido stealing"):
        if ours in costs:
            lab.report.goal(
                "sched",
                case,
                f"tokio / {ours}",
                "x",
                ratio(costs["tokio"], costs[ours]),
                4.0 if name in FOUR_TIMES else 1.0,
                least=True,
            )
