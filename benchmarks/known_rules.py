"""One published number with the experiment that gives ours, and rules by which they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from engine.analysis.stats import CONFIDENCE, interval_of, student_t, summarize
from engine.spec import TRAINING_VERSION, sha256_of


@dataclass(frozen=True, slots=True)
class Answer:
    """One published number, and the experiment that gives ours."""

    setting: str
    published: str
    source: str
    spec: Mapping[str, Any]
    seeds: int
    value: Callable[..., float]
    """The number of one seed's result; of several specs, it takes the result of each"""
    agrees: Callable[[Sequence[float]], bool]
    """Whether our values over the seeds agree with the published number"""
    rule: str
    """What `agrees` asks, in words"""
    needs: str = "mnist"
    """`mnist`, `cifar10-jpeg`, or `gpu`"""
    note: str = ""
    """Where the setting departs from the source"""
    further: tuple[Mapping[str, Any], ...] = ()
    """More specs, of which the number is as well"""

    def identity(self, data_dir: Path | None) -> str:
        """Equal where a stored row need not be computed again."""
        specs = [dict(one) for one in (self.spec, *self.further)]
        return sha256_of([*specs, self.seeds, TRAINING_VERSION, torch.__version__, bool(data_dir)])


def contains(value: float) -> Callable[[Sequence[float]], bool]:
    """The 99 % interval of our mean contains the value: for a mean that is known.

    Eight rows ask it, and four of them draw nets that classify as those of another one, so that
    one fails by chance in 4 of 100 computations.
    """

    def agrees(values: Sequence[float]) -> bool:
        low, high = mean_interval(values, 0.99)
        return low <= value <= high

    return agrees


def could_be_drawn(value: float) -> Callable[[Sequence[float]], bool]:
    """The value lies where 95 % of further seeds of ours do: for one published run."""

    def agrees(values: Sequence[float]) -> bool:
        reach = student_t(len(values) - 1) * stdev(values) * sqrt(1 + 1 / len(values))
        return abs(value - fmean(values)) <= reach

    return agrees


def lies_between(low: float, high: float) -> Callable[[Sequence[float]], bool]:
    """The whole 95 % interval of our mean lies between the two."""

    def agrees(values: Sequence[float]) -> bool:
        interval = mean_interval(values)
        return low <= interval[0] and interval[1] <= high

    return agrees


def at_most(value: float) -> Callable[[Sequence[float]], bool]:
    """The whole 95 % interval of our mean is at most the value."""
    return lambda values: mean_interval(values)[1] <= value


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval of the mean of at least two values; the mean twice where all are equal."""
    statistic = summarize(values)
    return interval_of(statistic, confidence) or (statistic.mean, statistic.mean)
