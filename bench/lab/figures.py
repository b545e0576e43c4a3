"""Figures: what was measured in several rounds, and what is made of it.

A series is a list with one value per round.
"""

from dataclasses import dataclass, field
from statistics import median

Series = list[float]


class Ratio(Series):
    """Of two series, round by round.

    `paired`: both sides took turns of milliseconds in each round, so what slowed it down slowed both, and the
    middle is the median of the rounds. Otherwise seconds or a minute lie between them, and the middle is the
    ratio of the medians: what the reader of a table finds who divides two of its cells.
    """

    def __init__(self, numerator: Series, denominator: Series, paired: bool) -> None:
        super().__init__(a / b for a, b in zip(numerator, denominator, strict=True))
        self.middle = median(self) if paired else median(numerator) / median(denominator)


def middle(values: Series) -> float:
    return values.middle if isinstance(values, Ratio) else median(values)


@dataclass
class Column:
    """One property of several kinds of server: a series each. `paired`: see Ratio."""

    what: str
    unit: str
    paired: bool = False
    series: dict[str, Series] = field(default_factory=dict)

    def add(self, kind: str, value: float) -> None:
        self.series.setdefault(kind, []).append(value)


@dataclass
class Figure:
    """One series with what it says. `goal` is an upper limit, or a lower one if `least`."""

    job: str
    case: str
    kind: str
    what: str
    unit: str
    values: Series
    goal: float | None = None
    least: bool = False

    @property
    def median(self) -> float:
        return middle(self.values)

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        return self.median >= self.goal if self.least else self.median <= self.goal

    @property
    def verdict(self) -> str:
        return {None: "", True: "ok", False: "MISS"}[self.met]

    def as_json(self) -> dict:
        entry = {
            "job": self.job,
            "case": self.case,
            "kind": self.kind,
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "rounds": len(self.values),
        }
        if self.goal is not None:
            entry["goal"] = f"{'>=' if self.least else '<='} {self.goal:g}"
            entry["verdict"] = self.verdict
        return entry


def human(value: float) -> str:
    """Four digits, as one would write them."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100_000:
        return f"{value:,.0f}".replace(",", " ")
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def count(number: int, noun: str) -> str:
    """1 worker, 2 workers."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
