"""Fair timing on a machine that changes its pace: every candidate once a round, in turning order, ratios by round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.figures import Figure, Goal, spread

Timed = Callable[[], float]
"""Does the work and returns the seconds that count."""


def clocked(work: Callable[..., object], *arguments: object) -> Timed:
    """The whole of `work(*arguments)` counts."""

    def run() -> float:
        began = time.perf_counter()
        work(*arguments)
        return time.perf_counter() - began

    return run


def interleave(
    candidates: Mapping[str, Timed], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Seconds of each candidate by round. Every second round goes backwards, so that drift hits all alike."""
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
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    baseline: str,
    goal: Goal | None = None,
    limit: str = "",
    note: str = "",
) -> Figure:
    """How many times as fast as the baseline, round by round."""
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    return _figure(name, "x", ratios, ours, theirs, baseline, goal, limit, note)


def share(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    baseline: str,
    goal: Goal | None = None,
    limit: str = "",
    note: str = "",
) -> Figure:
    """What share of the baseline's time it takes, round by round."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return _figure(name, "of baseline", ratios, ours, theirs, baseline, goal, limit, note)


def _figure(
    name: str,
    unit: str,
    ratios: Sequence[float],
    ours: Sequence[float],
    theirs: Sequence[float],
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
        ours_seconds=spread(ours).median,
        baseline_seconds=spread(theirs).median,
        note=note,
    )
