"""Fair timing on a machine of varying speed: each round times every candidate once.

The order alternates from round to round, and ratios are taken within a round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.figures import Figure, Goal, spread

TimedRun = Callable[[], float]
"""Does the work and returns its duration in seconds"""


def timed(work: Callable[..., object], *arguments: object) -> TimedRun:
    """A function that times `work(*arguments)`."""

    def run() -> float:
        began = time.perf_counter()
        work(*arguments)
        return time.perf_counter() - began

    return run


def interleave(
    candidates: Mapping[str, TimedRun], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Seconds of each candidate by round. Every second round is reversed to even out drift."""
    if warm_up:
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        order = list(candidates)
        for name in order if number % 2 == 0 else reversed(order):
            gc.collect()
            seconds[name].append(candidates[name]())
    return seconds


def speed_up(
    name: str,
    seconds: Sequence[float],
    baseline_seconds: Sequence[float],
    *,
    baseline: str,
    goal: Goal | None = None,
    limit: str = "",
    note: str = "",
) -> Figure:
    """A figure: how many times as fast as the baseline, per round."""
    ratios = [other / own for own, other in zip(seconds, baseline_seconds, strict=True)]
    return _figure(name, "x", ratios, seconds, baseline_seconds, baseline, goal, limit, note)


def share(
    name: str,
    seconds: Sequence[float],
    baseline_seconds: Sequence[float],
    *,
    baseline: str,
    goal: Goal | None = None,
    limit: str = "",
    note: str = "",
) -> Figure:
    """A figure: the share of the baseline's time, per round."""
    ratios = [own / other for own, other in zip(seconds, baseline_seconds, strict=True)]
    return _figure(
        name, "of baseline", ratios, seconds, baseline_seconds, baseline, goal, limit, note
    )


def _figure(
    name: str,
    unit: str,
    ratios: Sequence[float],
    seconds: Sequence[float],
    baseline_seconds: Sequence[float],
    baseline: str,
    goal: Goal | None,
    limit: str,
    note: str,
) -> Figure:
    return Figure(
        name=name,
        baseline=baseline,
        unit=unit,
        value=spread(ratios),
        goal=goal,
        limit=limit,
        ours_seconds=spread(seconds).median,
        baseline_seconds=spread(baseline_seconds).median,
        note=note,
    )
