"""The scheduler benchmarks: tokio's own, and the like, in lido and in its peers."""

from statistics import median

from figures import Column, Ratio, count
from lab import Lab

# How many times as fast as tokio. What else is measured may not be slower. A write, a read and a share of an
# epoll_wait is what a bare loop takes for a notify, too. Not spawn_many_local: lido's root is a task of a
# worker, tokio's runs on the thread that has called the runtime.
FOUR_TIMES = (
    "spawn_many_task",
    "spawn_many_remote_idle",
    "chained_spawn",
    "spawn_join",
    "yield_many",
    "ping_pong",
)
# After its first section a task of tokio's has no worker any more, and the next ones cost it nothing.
OTHERWISE = ("section", "section_delay")

# A thread that spins until the next job comes answers soon, and takes a core meanwhile.
SPINNING = ("section_spawn", "section_yield")
SECTIONED = ("lido", "lido stealing", "tokio")

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
        for name, column in lab.run_in_turn(commands(lab, workers)).items():
            case = f"{name}, {count(workers, 'worker')}"
            lab.report.table("sched", case, [column])
            judge(lab, case, name, workers, column)
    lab.report.heading("The same that hand jobs to other threads, which may spin: CPU time of all threads")
    spinning = {
        kind: [*command, "--cpu", *SPINNING]
        for kind, command in commands(lab, 1).items()
        if kind in SECTIONED
    }
    for name, column in lab.run_in_turn(spinning, "CPU").items():
        lab.report.table("sched", f"{name}, CPU, 1 worker", [column])


def commands(lab: Lab, workers: int) -> dict[str, list[str]]:
    ours = {
        kind: [lab.program("bench/sched"), "--scheduler", scheduler, "--workers", str(workers)]
        for kind, scheduler in (("lido", "io-pool"), ("lido stealing", "work-stealing"))
    }
    return lab.programs("sched", workers, 3 if lab.quick else 5, ours)


def best_of_tokio(costs: dict[str, list[float]]) -> str | None:
    """Whichever of its two runtimes does this in the least time; who has one worker can choose."""
    return min(
        (kind for kind in ("tokio", "tokio current") if kind in costs),
        key=lambda kind: median(costs[kind]),
        default=None,
    )


def judge(lab: Lab, case: str, name: str, workers: int, column: Column) -> None:
    costs = column.series
    if workers == 1 and name in LIMITS and "lido" in costs:
        lab.report.goal("sched", case, "lido", "ns", costs["lido"], LIMITS[name])
    tokio = best_of_tokio(costs)
    if tokio is None or name in OTHERWISE:
        return
    for ours in ("lido", "lido stealing"):
        if ours in costs:
            lab.report.goal(
                "sched",
                case,
                f"{tokio} / {ours}",
                "x",
                Ratio(costs[tokio], costs[ours], paired=False),
                4.0 if name in FOUR_TIMES else 1.0,
                least=True,
            )
