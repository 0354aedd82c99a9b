"""The result of a benchmark: a number with its spread, baseline, goal and limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """Statistics of repeated measurements."""

    median: float
    low: float
    """First quartile"""
    high: float
    """Third quartile"""
    best: float
    """The smallest value"""
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of one or more values."""
    low, middle, high = (
        quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    )
    assert middle == median(values)
    return Spread(middle, low, high, min(values), len(values))


@dataclass(frozen=True, slots=True)
class Goal:
    """The value that a number should reach."""

    relation: Literal["at least", "at most"]
    value: float

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.relation == "at least" else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    """What was measured, e.g. `5 seeds, w=100 d=1`"""
    baseline: str
    """What a ratio refers to; empty for a time"""
    unit: str
    """`x` (times as fast), `of baseline` (share of its time), or a unit"""
    value: Spread
    goal: Goal | None = None
    limit: str = ""
    """The best value that is theoretically possible"""
    ours_seconds: float | None = None
    baseline_seconds: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.goal.is_met(self.value.median)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_met": self.is_met}


def at_least(value: float) -> Goal:
    return Goal("at least", value)


def at_most(value: float) -> Goal:
    return Goal("at most", value)


def in_seconds(name: str, measured: Sequence[float], goal: Goal, note: str = "") -> Figure:
    """A time that has no fair baseline."""
    return Figure(name, "", "s", spread(measured), goal, note=note)
