"""The report of a run: tables on the terminal as the figures come in, and all of them as JSON."""

import json
from pathlib import Path

from figures import Column, Figure, Ratio, Series, human

REFERENCE = "lido"


class Report:
    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.skipped: list[tuple[str, str]] = []
        self.failed = False

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def heading(self, text: str) -> None:
        self.say(f"\n{text}")

    def skip(self, job: str, why: str) -> None:
        """Something that could not be measured; said here, at the end, and in the JSON."""
        self.skipped.append((job, why))
        self.say(f"\n{job}: SKIPPED: {why}")

    def fail(self, job: str, why: str) -> None:
        """Something that should have been measured."""
        self.failed = True
        self.skip(job, f"FAILED: {why}")

    def table(self, job: str, case: str, columns: list[Column]) -> None:
        """A row for each kind, and how its first column compares with lido's."""
        self.say(f"\n  {job}: {case}")
        headings = "".join(f"{column.what + ' (' + column.unit + ')':>26}" for column in columns)
        self.say(f"  {'':24}{headings}{'x ' + REFERENCE:>22}")
        first = columns[0]
        for kind in first.series:
            cells = "".join(self._cell(job, case, kind, column) for column in columns)
            self.say(f"  {kind:24}{cells}{self._compare(job, case, kind, first):>22}")

    def _cell(self, job: str, case: str, kind: str, column: Column) -> str:
        if kind not in column.series:
            return f"{'-':>26}"
        figure = Figure(job, case, kind, column.what, column.unit, column.series[kind])
        self.figures.append(figure)
        return f"{with_range(figure):>26}"

    def _compare(self, job: str, case: str, kind: str, column: Column) -> str:
        if kind == REFERENCE or REFERENCE not in column.series:
            return ""
        ratios = Ratio(column.series[kind], column.series[REFERENCE], column.paired)
        figure = Figure(job, case, kind, f"{column.what} x {REFERENCE}", "x", ratios)
        self.figures.append(figure)
        return with_range(figure, 2)

    def goal(
        self,
        job: str,
        case: str,
        what: str,
        unit: str,
        values: Series,
        goal: float | None,
        least: bool = False,
    ) -> None:
        """A figure by itself, with a goal or, as a control, without one."""
        figure = Figure(job, case, "", what, unit, values, goal, least)
        self.figures.append(figure)
        limit = "" if goal is None else f"{'>=' if least else '<='} {human(goal)}"
        self.say(f"    {what:50}{with_range(figure):>26} {unit:6}{limit:>9}  {figure.verdict}")

    def write(self, path: Path, about: dict) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        about = about | {
            "skipped": [{"job": job, "why": why} for job, why in self.skipped],
            "figures": [figure.as_json() for figure in self.figures],
        }
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def conclude(self) -> None:
        met = sum(figure.met is True for figure in self.figures)
        missed = [figure for figure in self.figures if figure.met is False]
        self.say(f"\n{met} goals met, {len(missed)} missed")
        for figure in missed:
            self.say(f"  MISS     {figure.job}: {figure.case}: {figure.what}: {human(figure.median)}")
        for job, why in self.skipped:
            self.say(f"  SKIPPED  {job}: {why}")


def with_range(figure: Figure, digits: int | None = None) -> str:
    """MEDIAN (MIN-MAX), the latter only if there was more than one round."""
    write = human if digits is None else lambda value: f"{value:.{digits}f}"
    if len(figure.values) == 1:
        return write(figure.median)
    return f"{write(figure.median)} ({write(min(figure.values))}-{write(max(figure.values))})"


class Failure(Exception):
    """Something could not be measured: a server or a load has failed. Ends the job, not the run."""
