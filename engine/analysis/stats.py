"""Statistics over seeds: mean, one standard error (as the paper draws), Student's 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from math import inf, isfinite, sqrt
from statistics import fmean, stdev
from typing import Any, TypeVar

from engine.kind import FinishedPoint
from engine.result import Outcome, Statistic, Timings, TimingSummary

Sample = TypeVar("Sample")
_T975 = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
    2.262157, 2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905,
    2.109816, 2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
    2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
)  # fmt: skip
"""0.975 quantile of Student's t for 1 to 30 degrees of freedom."""
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-inf, inf)
SHARE: Bounds = (0.0, 1.0)
"""Of an accuracy"""
POSITIVE: Bounds = (0.0, inf)
"""Of a time, a ratio of times, a count or a magnitude"""
MIN_SEEDS = 3
"""The fewest seeds for a verdict and without a warning."""


def student_t975(degrees: int) -> float:
    """0.975 quantile of Student's t. Above 30 degrees by Cornish-Fisher expansion, error < 1e-5."""
    if degrees <= len(_T975):
        return _T975[degrees - 1]
    z = 1.959963984540054
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / degrees + g2 / degrees**2 + g3 / degrees**3


def summarize(values: Iterable[float], bounds: Bounds = UNBOUNDED) -> Statistic:
    """Mean, standard error and 95 % interval of at least one finite value.

    bounds: what a value can be, such as `SHARE`; the interval ends there, which loses no coverage.
    """
    sample = list(values)
    assert sample, "no values to summarise"
    assert all(map(isfinite, sample)), "only finite values are summarised"
    mean = fmean(sample)
    if len(sample) == 1:
        return Statistic(mean=mean, standard_error=None, ci95=None, n=1)
    error = stdev(sample) / sqrt(len(sample))
    reach = student_t975(len(sample) - 1) * error
    interval = (max(bounds[0], mean - reach), min(bounds[1], mean + reach))
    return Statistic(mean=mean, standard_error=error, ci95=interval, n=len(sample))


def difference_interval(value: Statistic, baseline: Statistic) -> tuple[float, float] | None:
    """Welch's 95 % interval of value - baseline, treating seeds as independent samples.

    None where either has only one seed. Degrees of freedom by Satterthwaite, rounded down.
    """
    if value.standard_error is None or baseline.standard_error is None:
        return None
    parts = [error**2 for error in (value.standard_error, baseline.standard_error)]
    spread = sum(part**2 / (one.n - 1) for part, one in zip(parts, (value, baseline), strict=True))
    difference = value.mean - baseline.mean
    if not spread:
        return difference, difference
    reach = student_t975(max(1, int(sum(parts) ** 2 / spread))) * sqrt(sum(parts))
    return difference - reach, difference + reach


def summarize_timings(timings: Sequence[Timings]) -> TimingSummary:
    """Statistics of each part of training over separate measurements."""
    measured = measured_apart(timings, lambda one: (one,))
    return TimingSummary(
        **{
            name: summarize((getattr(one, name) for one in measured), POSITIVE)
            for name in TimingSummary.model_fields
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
    }
