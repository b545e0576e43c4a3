"""What a request costs in instructions and in system calls: figures that repeat."""

import re
import tempfile
from pathlib import Path

from figures import Column, count
from kinds import Available
from lab import Lab
from loads import counted
from machine import find
from server import Server

SHORT, LONG = 2000, 12_000
# Those whose instructions mean something, and that valgrind can follow: Go's and tokio's runtimes work beside the
# requests, io_uring works in the kernel, State Threads switches stacks in a way that valgrind does not permit.
NATIVE = ("lido", "lido futures", "lido stealing", "bare epoll", "libuv", "libevent", "Boost.Asio")


def instructions(lab: Lab) -> None:
    """User-space instructions per request (valgrind)"""
    if not find("valgrind"):
        lab.report.skip("instructions", "there is no valgrind here (apt-get install valgrind)")
        return
    lab.report.heading(f"User-space instructions per echo, between {SHORT} and {LONG} requests")
    for connections in (1, 64):
        column = Column("instructions", "1/request")
        for kind in lab.doing("echo"):
            if kind.name in NATIVE:
                column.add(kind.name, instructions_per_request(lab, kind, connections))
        lab.report.table("instructions", count(connections, "connection"), [column])


def instructions_per_request(lab: Lab, kind: Available, connections: int) -> float:
    """The difference of two runs, so that start and end are not counted."""
    totals = [total_instructions(lab, kind, connections, requests) for requests in (SHORT, LONG)]
    return (totals[1] - totals[0]) / (LONG - SHORT)


def total_instructions(lab: Lab, kind: Available, connections: int, requests: int) -> int:
    """Of a whole run. By cachegrind and not by callgrind, whose call stack does not follow fibers."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        wrapper = ("valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={counts}")
        with Server(kind.command("echo"), lab.machine.server_cpu, wrapper) as server:
            counted(lab.program("bench/load"), server.address, lab.machine.load_cpu, connections, requests)
        return int(re.search(r"^summary: (\d+)", counts.read_text(encoding="utf-8"), re.MULTILINE)[1])


def syscalls(lab: Lab) -> None:
    """System calls per request (strace)"""
    if not find("strace"):
        lab.report.skip("syscalls", "there is no strace here (apt-get install strace)")
        return
    lab.report.heading(f"System calls per echo, 64 connections, between {SHORT} and {LONG} requests")
    names = ("read", "write", "wait", "other", "failed")
    columns = {name: Column(name, "1/request") for name in names}
    total = Column("all", "1/request")
    for kind in lab.doing("echo"):
        calls = syscalls_per_request(lab, kind)
        total.add(kind.name, sum(calls[name] for name in names[:-1]))
        for name in names:
            columns[name].add(kind.name, calls[name])
    lab.report.table("syscalls", "64 connections", [total, *columns.values()])
    for kind in ("lido", "lido futures"):
        for name, limit in (("read", 1), ("write", 1), ("other", 0.01), ("failed", 0.01)):
            if kind in total.series:
                lab.report.goal(
                    "syscalls",
                    "64 connections",
                    f"{kind}: {name}",
                    "",
                    [round(columns[name].series[kind][0], 3)],
                    limit,
                )


SORTS = {
    "read": re.compile("read|recv"),
    "write": re.compile("write|send"),
    "wait": re.compile("epoll_p?wait|poll|select|io_uring_enter"),
}


def syscalls_per_request(lab: Lab, kind: Available) -> dict[str, float]:
    """By what they do; "failed" are a part of the others."""
    short, long = (traced(lab, kind, requests) for requests in (SHORT, LONG))
    sums = dict.fromkeys([*SORTS, "other", "failed"], 0.0)
    for name, (calls, errors) in long.items():
        calls_before, errors_before = short.get(name, (0, 0))
        sort = next((sort for sort, pattern in SORTS.items() if pattern.match(name)), "other")
        sums[sort] += max(0, calls - calls_before) / (LONG - SHORT)
        sums["failed"] += max(0, errors - errors_before) / (LONG - SHORT)
    return sums


def traced(lab: Lab, kind: Available, requests: int) -> dict[str, tuple[int, int]]:
    """Calls, and those of them that failed, of a whole run, by name."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        wrapper = ("strace", "-f", "-c", "-o", str(counts))
        # strace ends with what it traces, and hands no signal on to it.
        with Server(kind.command("echo"), lab.machine.server_cpu, wrapper, wraps=True) as server:
            counted(lab.program("bench/load"), server.address, lab.machine.load_cpu, 64, requests)
        lines = counts.read_text(encoding="utf-8").splitlines()
    calls = {}
    for fields in map(str.split, lines):
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = (int(fields[3]), int(fields[4]) if len(fields) == 6 else 0)
    return calls
