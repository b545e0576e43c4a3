"""The kinds of server that are compared: lido in its styles, and its peers (see bench/peers/README.md)."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import output_of


@dataclass(frozen=True)
class Kind:
    name: str
    program: str  # below the build folder
    arguments: tuple[str, ...] = ()
    single: bool = False  # knows only one worker
    most: int = 20_000  # connections
    only: frozenset[str] = frozenset()  # of the jobs that its program does; empty: all


KINDS = (
    Kind("lido", "bench/lido_server"),
    # Proxies and datagrams are done by fibers in either style.
    Kind(
        "lido futures",
        "bench/lido_server",
        ("--style", "future"),
        only=frozenset({"echo", "ping", "http", "hog"}),
    ),
    Kind("lido stealing", "bench/lido_server", ("--scheduler", "work-stealing")),
    Kind("bare epoll", "bench/peers/bare_epoll"),
    Kind("bare io_uring", "bench/peers/bare_uring"),
    Kind("libuv", "bench/peers/libuv"),
    Kind("libevent", "bench/peers/libevent"),
    # Debian's library waits by poll(2): 4000 connections take a quarter of a minute to be accepted.
    Kind("State Threads", "bench/peers/state_threads", most=1000),
    Kind("Boost.Asio", "bench/peers/boost_asio"),
    Kind("Boost.Fiber", "bench/peers/boost_fiber"),
    Kind("tokio", "peers/tokio"),
    Kind("tokio current", "peers/tokio", ("--flavor", "current"), single=True),
    Kind("Go", "peers/golang"),
)


@dataclass(frozen=True)
class Available:
    """A kind that can be run on this machine, and what it can do."""

    kind: Kind
    path: Path
    version: str
    jobs: frozenset[str]

    @property
    def name(self) -> str:
        return self.kind.name

    def does(self, job: str, workers: int = 1, connections: int = 1) -> bool:
        return job in self.jobs and not (self.kind.single and workers > 1) and connections <= self.kind.most

    def command(self, job: str, workers: int = 1, *further: str) -> list[str]:
        return [str(self.path), job, *self.kind.arguments, "--workers", str(workers), *further]


def look(build: Path, names: list[str]) -> tuple[list[Available], dict[str, str]]:
    """Those that are there, and why the others are not. `names`: only these; empty: all."""
    there, missing = [], {}
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        path = build / kind.program
        if not path.exists():
            missing[kind.name] = "not built: its packages are not installed"
            continue
        check = subprocess.run([path, "--jobs"], capture_output=True, text=True, check=False)
        if check.returncode != 0:
            missing[kind.name] = check.stderr.strip() or f"--jobs fails with {check.returncode}"
            continue
        version = output_of(str(path), "--version")
        jobs = frozenset(check.stdout.split())
        there.append(Available(kind, path, version, jobs & kind.only if kind.only else jobs))
    return there, missing
