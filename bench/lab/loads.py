"""The programs that put servers under load, and what they say."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from report import Failure
from server import Server

LONGEST = 600  # seconds


def run(command: Sequence[str], cpus: set[int], statuses: tuple[int, ...] = (0,)) -> str:
    """What a load prints. One that fails ends the job: half a load is no figure."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )  # pylint: disable=subprocess-popen-preexec-fn
    except subprocess.TimeoutExpired as late:
        raise Failure(f"the load has not ended after {LONGEST} s: {' '.join(command)}") from late
    if done.returncode not in statuses:
        raise Failure(f"the load failed: {' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Line:
    """A figure of a program that repeats by itself."""

    name: str
    median: float
    least: float
    most: float


def figures_in(out: str) -> list[Line]:
    """The lines NAME MEDIAN MIN MAX that such a program prints."""
    lines = [line.split() for line in out.splitlines()]
    return [Line(fields[0], *map(float, fields[1:4])) for fields in lines]


@dataclass(frozen=True)
class Cost:
    """Of one server under a load. `cpu_ns`: of the server, user and system, per request."""

    rate: float
    cpu_ns: float


@dataclass(frozen=True)
class Target:
    """A server and the connections to it, of which `active` send (0: all)."""

    server: Server
    connections: int
    size: int = 64
    active: int = 0


def closed(program: str, targets: list[Target], cpus: set[int], seconds: float, seed: int = 1) -> list[Cost]:
    """Echo by a hand-written client that puts all these servers under load in turn, a slice each. `seed`: of
    the order, so that it is another one in each round."""
    # The private data of many connections is cold when a turn begins; the turns are longer, then.
    crowded = any(target.connections >= 1000 for target in targets)
    slice_seconds = max(0.5, seconds / 2) if crowded else 0.05
    command = [program, "--seconds", str(seconds), "--slice", str(slice_seconds), "--seed", str(seed)]
    for target in targets:
        command += ["--connections", str(target.connections), "--size", str(target.size)]
        if target.active:
            command += ["--active", str(target.active)]
        for pid in target.server.pids():
            command += ["--pid", str(pid)]
        command.append(target.server.address)
    found = re.findall(r"rate (\S+) cpu_ns (\S+)", run(command, cpus))
    return [Cost(float(rate), float(cpu)) for rate, cpu in found]


def counted(program: str, address: str, cpus: set[int], connections: int, requests: int) -> None:
    """Exactly so many echoes, and the connections ended in order."""
    run([program, "--connections", str(connections), "--requests", str(requests), address], cpus)


def lido_load(program: str, server: Server, cpus: set[int], *arguments: str, scheme: str = "") -> dict:
    """What lido-load measured, as its JSON has it. That datagrams are lost, or that answers come too late to
    be counted, is a figure and no failure; all other errors are one."""
    out = run([program, "--json", *arguments, scheme + server.address], cpus, statuses=(0, 1))
    result = json.loads(out)
    if result["requests"] == 0 or result["error_count"] > result["errors"]["lost"]:
        raise Failure(f"lido-load: {result['requests']} requests were answered, {result['errors']}")
    return result


@dataclass(frozen=True)
class Answered:
    """How many requests, and how many in a second."""

    requests: int
    rate: float


def wrk(server: Server, cpus: set[int], seconds: float, connections: int) -> Answered:
    out = run(
        ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"http://{server.address}/"], cpus
    )
    if "Socket errors" in out or "Non-2xx" in out:
        raise Failure(f"wrk: {out}")
    return Answered(
        int(re.search(r"(\d+) requests in", out)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    )


def redis_benchmark(server: Server, cpus: set[int], requests: int, connections: int, depth: int) -> Answered:
    host, port = server.address.rsplit(":", 1)
    out = run(
        [
            "redis-benchmark",
            "-h",
            host,
            "-p",
            port,
            "-t",
            "ping_mbulk",
            "-n",
            str(requests),
            "-c",
            str(connections),
            "-P",
            str(depth),
            "--csv",
        ],
        cpus,
    )
    return Answered(requests, float(re.search(r'"PING_MBULK","([\d.]+)"', out)[1]))


def with_cost(server: Server, load: Callable[[], Answered]) -> Cost:
    """The cost is the server's CPU time by all that it was asked meanwhile."""
    cpu = server.cpu_ns()
    answered = load()
    return Cost(answered.rate, (server.cpu_ns() - cpu) / answered.requests)
