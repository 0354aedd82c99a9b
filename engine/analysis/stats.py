"""Statistics over seeds: mean, one standard error (as the paper draws), Student's t interval."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from math import cos, inf, isfinite, pi, sin, sqrt, tan
from statistics import fmean, stdev
from typing import Any, TypeVar

from engine.kind import FinishedPoint
from engine.probes.quantities import read_name
from engine.result import Outcome, Statistic, Timings, TimingSummary

Sample = TypeVar("Sample")
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-inf, inf)
SHARE: Bounds = (0.0, 1.0)
"""Of an accuracy"""
POSITIVE: Bounds = (0.0, inf)
"""Of a time, a ratio of times, a count or a magnitude"""
DIFFERENCE: Bounds = (-1.0, 1.0)
"""Of a difference of two shares"""
CONFIDENCE = 0.95
"""Of intervals, where no other is asked for."""
NO_SPREAD = 1e-12
"""A standard error of rounding alone, of accuracies and ratios"""
MIN_SEEDS = 3
"""The fewest seeds for a verdict and without a warning."""
_kept_samples: ContextVar[list[list[float]] | None] = ContextVar("kept_samples", default=None)


BOUNDS_OF_UNIT: Mapping[str, Bounds] = {
    "accuracy": SHARE,
    "share": SHARE,
    "difference": DIFFERENCE,
    "seconds": POSITIVE,
    "ratio": POSITIVE,
    "loss": POSITIVE,
    "count": POSITIVE,
}
"""By unit of an answer's column; other units have none"""


def bounds_of(quantity: str, unit: str = "") -> Bounds:
    """The bounds of a metric or statistic by its unit, else by its name: every kind names them
    alike."""
    probe = read_name(quantity)
    if probe is not None:
        return probe[0].bounds
    if unit in BOUNDS_OF_UNIT:
        return BOUNDS_OF_UNIT[unit]
    if quantity.endswith(("accuracy", "share", "frequency")):
        return SHARE
    return POSITIVE if quantity.endswith(("seconds", "loss", "ratio")) else UNBOUNDED


def bounds_of_difference(quantity: str, unit: str = "") -> Bounds:
    """The bounds of a difference of two values of the quantity."""
    low, high = bounds_of(quantity, unit)
    return low - high, high - low


@lru_cache(maxsize=1024)
def student_t(degrees: int, confidence: float = CONFIDENCE) -> float:
    """t such that a Student's t variable lies in [-t, t] with probability `confidence`.

    degrees: of freedom, at least 1. confidence: in (0, 1). Relative error below 1e-9 for a
    confidence up to 1 - 1e-6. Source: the finite sums of Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.7.3 and 26.7.4, solved by bisection.
    """
    assert degrees >= 1, "no degrees of freedom"
    assert 0 < confidence < 1, "a confidence lies between 0 and 1"
    low, high = 0.0, pi / 2  # of the angle between t = infinity and t
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_t(middle, degrees) > confidence else (low, middle)
    return sqrt(degrees) / tan((low + high) / 2)


def _central_t(angle: float, degrees: int) -> float:
    """Probability of [-t, t] for tan(angle) = sqrt(degrees) / t; `angle` in (0, pi / 2)."""
    cosine, sine = sin(angle), cos(angle)  # of the complement of `angle`, as in the source
    is_odd = degrees % 2
    term, total = (cosine, 0.0) if is_odd else (1.0, 0.0)
    for power in range(is_odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return (2 / pi) * (pi / 2 - angle + sine * total) if is_odd else sine * total


def summarize(values: Iterable[float], bounds: Bounds = UNBOUNDED) -> Statistic:
    """Mean, standard error and 95 % interval of at least one finite value.

    bounds: what a value can be, such as `SHARE`; the interval ends there, which loses no coverage.
    """
    sample = list(values)
    assert sample, "no values to summarise"
    assert all(map(isfinite, sample)), "only finite values are summarised"
    kept = _kept_samples.get()
    if kept is not None:
        kept.append(sample)
        return Statistic(mean=len(kept) - 1, standard_error=None, ci95=None, n=len(sample))
    mean = fmean(sample)
    if len(sample) == 1:
        return Statistic(mean=mean, standard_error=None, ci95=None, n=1)
    error = stdev(sample) / sqrt(len(sample))
    found = Statistic(mean=mean, standard_error=error, ci95=None, n=len(sample))
    return found.model_copy(update={"ci95": interval_of(found, CONFIDENCE, bounds)})


def summarize_less(values: Iterable[float], others: Iterable[float]) -> Statistic:
    """Statistic of one accuracy less another, paired in their order."""
    return summarize((one - other for one, other in zip(values, others, strict=True)), DIFFERENCE)


@contextmanager
def keep_samples() -> Iterator[list[list[float]]]:
    """Within it, the mean of each statistic is the index of its values in the returned list.

    So the values of all seeds are found behind any number of a result, at the cost of one summary.
    """
    samples: list[list[float]] = []
    token = _kept_samples.set(samples)
    try:
        yield samples
    finally:
        _kept_samples.reset(token)


def interval_of(
    statistic: Statistic, confidence: float = CONFIDENCE, bounds: Bounds = UNBOUNDED
) -> tuple[float, float] | None:
    """Student's t interval of the mean, ended at `bounds`; None with one value or no spread."""
    if not statistic.standard_error:
        return None
    reach = student_t(statistic.n - 1, confidence) * statistic.standard_error
    return max(bounds[0], statistic.mean - reach), min(bounds[1], statistic.mean + reach)


def decisive_interval(
    statistic: Statistic, confidence: float = CONFIDENCE, bounds: Bounds = UNBOUNDED
) -> tuple[float, float] | None:
    """The interval that a verdict may rest on; None where there is none.

    Where all values are equal there is no spread to make an interval of. The value alone decides
    if n are enough for a sign test: n values fall on the same side of a median by chance with a
    probability of 2^-n, which must be at most (1 - confidence) / 2 (n = 6 at 0.95).
    """
    if statistic.standard_error is None or statistic.standard_error > NO_SPREAD:
        return interval_of(statistic, confidence, bounds)
    if 2.0**-statistic.n > (1 - confidence) / 2:
        return None
    return statistic.mean, statistic.mean


def difference_interval(
    value: Statistic, baseline: Statistic, bounds: Bounds = UNBOUNDED
) -> tuple[float, float] | None:
    """Welch's 95 % interval of value - baseline, treating seeds as independent samples.

    None where either has only one seed, or neither has a spread. Degrees of freedom by
    Satterthwaite, rounded down. Ended at `bounds`, which are those of the difference.
    """
    if value.standard_error is None or baseline.standard_error is None:
        return None
    parts = [error**2 for error in (value.standard_error, baseline.standard_error)]
    spread = sum(part**2 / (one.n - 1) for part, one in zip(parts, (value, baseline), strict=True))
    difference = value.mean - baseline.mean
    if not spread:
        return None
    reach = student_t(max(1, int(sum(parts) ** 2 / spread))) * sqrt(sum(parts))
    return max(bounds[0], difference - reach), min(bounds[1], difference + reach)


def summarize_timings(timings: Sequence[Timings]) -> TimingSummary:
    """Statistics of each part of training over separate measurements."""
    measured = measured_apart(timings, lambda one: (one,))
    return TimingSummary(
        **{
            name: summarize((getattr(one, name) for one in measured), POSITIVE)
            for name in TimingSummary.model_fields
            if name != "probe_seconds" or any(one.probe_seconds for one in measured)
        }
    )


def measured_apart(
    samples: Sequence[Sample], timings_of: Callable[[Sample], tuple[Timings, ...]]
) -> list[Sample]:
    """One sample for each separate measurement.

    Seeds that trained as one stack have equal shares of one measured time.
    """
    kept: dict[Hashable, Sample] = {}
    for index, sample in enumerate(samples):
        timings = timings_of(sample)
        was_shared = any(one.stacked_seeds > 1 for one in timings)
        kept.setdefault(timings if was_shared else index, sample)
    return list(kept.values())


def summarize_shared_times(times: Iterable[tuple[float, int]]) -> Statistic:
    """Over the separate measurements. times: of each seed, and of how many seeds it is a share.

    Seeds that trained as one stack have equal shares of one measured time.
    """
    kept: dict[Hashable, float] = {}
    for index, (seconds, stacked_seeds) in enumerate(times):
        kept.setdefault(("shared", seconds) if stacked_seeds > 1 else index, seconds)
    return summarize(kept.values(), POSITIVE)


def summarize_series(by_seed: Mapping[int, Sequence[tuple[int, float | None]]]) -> dict[str, Any]:
    """A metric by epoch, over the seeds with a finite value: lists epoch, mean, standard error, n.

    by_seed: (epoch, value) of each seed.
    """
    at: dict[int, list[float]] = {}
    for series in by_seed.values():
        for step, value in series:
            if value is not None:
                at.setdefault(step, []).append(value)
    found = [(epoch, summarize(values)) for epoch, values in sorted(at.items())]
    return {
        "epoch": [epoch for epoch, _ in found],
        "mean": [statistic.mean for _, statistic in found],
        "standard_error": [statistic.standard_error for _, statistic in found],
        "n": [statistic.n for _, statistic in found],
    }


def warn_of_few_seeds(count: int) -> str | None:
    """A warning where `count` seeds are too few for a statistic, else None."""
    if count >= MIN_SEEDS:
        return None
    seeds = "seed is" if count == 1 else "seeds are"
    return f"{count} {seeds} too few for a statistic; the paper uses 5"


def worst_outcome(outcomes: Iterable[Outcome]) -> Outcome:
    """`not_finite` before `at_chance` before `trained`."""
    return max(outcomes, key=("trained", "at_chance", "not_finite").index, default="trained")


def point_fields(point: FinishedPoint) -> dict[str, Any]:
    """The fields of `PointResult`, as keyword arguments for a kind's own point result."""
    untrained = tuple(result.seed for result in point.results if result.outcome != "trained")
    few = warn_of_few_seeds(len(point.results))
    notes = dict.fromkeys(note for result in point.results for note in result.notes)
    return {
        "point": dict(point.values),
        "outcome": worst_outcome(result.outcome for result in point.results),
        "untrained_seeds": untrained,
        "seeds": tuple(result.seed for result in point.results),
        "test_accuracy": summarize((result.test_accuracy for result in point.results), SHARE),
        "notes": (*((few,) if few else ()), *notes),
        "probes": _summarize_probes([result.probes for result in point.results]),
    }


def _summarize_probes(measured: Sequence[Mapping[str, float | None]]) -> dict[str, Statistic]:
    """By metric, over the seeds with a finite value."""
    names = dict.fromkeys(name for one in measured for name in one)
    found = {
        name: [value for one in measured if (value := one.get(name)) is not None] for name in names
    }
    return {name: summarize(values, bounds_of(name)) for name, values in found.items() if values}
