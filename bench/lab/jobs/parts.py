"""What lido's parts cost by themselves."""

from lab import Lab
from loads import figures_in, run
from machine import field_of

LIMITS = {
    "switch": 3,
    "yield": 6,
    "deadline_yield": 40,
    "spawn_join": 30,
    "spawn_remote_idle": 60,
    "spawn_remote_busy": 60,
    "chained_spawn": 25,
    "ping_pong": 80,
    "million_sleepers": 3e9,
    "million_sleepers_peak_bytes": 4.6e9,
}
PARTS = (
    "switch",
    "yield",
    "deadline_yield",
    "spawn_join",
    "spawn_local_future",
    "chained_spawn",
    "spawn_remote_idle",
    "spawn_remote_busy",
    "ping_pong",
    "ping_pong_futures",
    "timer_arm_cancel",
)
SLEEPERS = ("million_pages", "million_sleepers")
MEMORY_FOR_SLEEPERS = 6_000_000  # kB


def tell(lab: Lab, job: str, *command: str) -> None:
    """Median, least and most of the repetitions of one process stand for the rounds."""
    for line in figures_in(run(command, lab.machine.server_cpu)):
        unit = "bytes" if line.name.endswith("_bytes") else "ns"
        lab.report.goal(
            job, "one worker", line.name, unit, [line.least, line.median, line.most], LIMITS.get(line.name)
        )


def parts(lab: Lab) -> None:
    """What lido's parts cost, in ns"""
    lab.report.heading("Parts of lido, per operation; a million timers in the wheel alone")
    tell(lab, "parts", lab.program("bench/micro"), "--repeat", "5" if lab.quick else "9", *PARTS)
    tell(lab, "parts", lab.program("bench/lido_timers"), "wheel", "--repeat", "3")


def sleepers(lab: Lab) -> None:
    """A million sleeping fibers"""
    available = int(field_of("/proc/meminfo", "MemAvailable").split()[0])
    if available < MEMORY_FOR_SLEEPERS:
        lab.report.skip(
            "sleepers", f"{MEMORY_FOR_SLEEPERS} kB of free memory are needed, there are {available}"
        )
        return
    lab.report.heading("A million fibers that sleep at the same time, one worker")
    tell(lab, "sleepers", lab.program("bench/micro"), "--repeat", "3", *SLEEPERS)
