"""What every job works with: the machine, the kinds, how long and how often to measure."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from figures import Column
from kinds import Available
from loads import Cost, Target, closed, figures_in, run
from machine import Machine
from report import Report
from server import Server

SPARE_DESCRIPTORS = 300
T = TypeVar("T")


@dataclass
class Lab:
    build: Path
    machine: Machine
    report: Report
    kinds: list[Available]
    rounds: int
    seconds: float  # under load, per kind and round
    quick: bool
    case: str = ""  # only the cases of echo with this in their title

    def program(self, name: str) -> str:
        return str(self.build / name)

    def doing(self, job: str, workers: int = 1, connections: int = 1) -> list[Available]:
        return [kind for kind in self.kinds if kind.does(job, workers, connections)]

    def kind(self, name: str) -> Available | None:
        return next((kind for kind in self.kinds if kind.name == name), None)

    def start(self, kind: Available, job: str, workers: int = 1, *further: str) -> Server:
        return Server(kind.command(job, workers, *further), self.machine.server_cpus(workers))

    def start_anywhere(self, kind: Available, job: str, workers: int = 1, *further: str) -> Server:
        """Not pinned, even if it has one worker."""
        return Server(kind.command(job, workers, *further), self.machine.all_cpus)

    def turns(self, things: list[T]) -> Iterator[list[T]]:
        """Their order in each round: there and back again, so none always has the same neighbour before it."""
        for number in range(self.rounds):
            yield things if number % 2 == 0 else things[::-1]

    def in_turn(self, things: list[T]) -> Iterator[T]:
        """Round after round."""
        for turn in self.turns(things):
            yield from turn

    def has_room(self, job: str, case: str, connections: int) -> bool:
        """Whether a process may have so many connections here; otherwise says that the case is skipped."""
        if connections + SPARE_DESCRIPTORS <= self.machine.descriptors:
            return True
        self.report.skip(job, f"{case}: a process may have only {self.machine.descriptors} descriptors here")
        return False

    def programs(
        self, job: str, workers: int, repeat: int, own: dict[str, list[str]]
    ) -> dict[str, list[str]]:
        """By kind, the commands of a job without a server. `own`: lido's, whose server does no such job."""
        commands = {name: command for name, command in own.items() if self.kind(name)}
        commands |= {kind.name: kind.command(job, workers) for kind in self.doing(job, workers)}
        return {name: [*command, "--repeat", str(repeat)] for name, command in commands.items()}

    def run_in_turn(self, commands: dict[str, list[str]], what: str = "time") -> dict[str, Column]:
        """Programs that print figures of their own, a column for each name. What a program does not do, its
        kind has not."""
        columns: dict[str, Column] = {}
        for name, command in self.in_turn(list(commands.items())):
            # Not pinned: one worker has helpers in other threads, as its peers have.
            for figure in figures_in(run(command, self.machine.all_cpus)):
                columns.setdefault(figure.name, Column(what, "ns")).add(name, figure.median)
        return columns

    def measure(self, job: str, workers: int, load: Callable[[Server], Cost]) -> list[Column]:
        """One server at a time, each started anew for each of its turns: a process may be lucky with
        its memory."""
        cpu, rate = Column("CPU/request", "ns"), Column("rate", "1/s")
        for kind in self.in_turn(self.doing(job, workers)):
            with self.start(kind, job, workers) as server:
                cost = load(server)
            cpu.add(kind.name, cost.cpu_ns)
            rate.add(kind.name, cost.rate)
        return [cpu, rate]

    def measure_echo(
        self, kinds: list[Available], workers: int, connections: int, size: int = 64
    ) -> list[Column]:
        """As many servers at a time as the load has descriptors for, which take turns of milliseconds."""
        together = max(1, (self.machine.descriptors - SPARE_DESCRIPTORS) // connections)
        paired = len(kinds) <= together
        cpu, rate = Column("CPU/request", "ns", paired), Column("rate", "1/s", paired)
        for seed, turn in enumerate(self.turns(kinds), start=1):
            for first in range(0, len(kinds), together):
                group = turn[first : first + together]
                costs = self._echo_round(group, workers, connections, size, seed)
                for kind, cost in zip(group, costs, strict=True):
                    cpu.add(kind.name, cost.cpu_ns)
                    rate.add(kind.name, cost.rate)
        return [cpu, rate]

    def _echo_round(
        self, kinds: list[Available], workers: int, connections: int, size: int, seed: int
    ) -> list[Cost]:
        with ExitStack() as stack:
            servers = [stack.enter_context(self.start(kind, "echo", workers)) for kind in kinds]
            targets = [Target(server, connections, size) for server in servers]
            return closed(
                self.program("bench/load"), targets, self.machine.load_cpus(workers), self.seconds, seed
            )
