"""The results of a re-initialisation sweep: of a seed and of a point, with one curve per mode."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.fractions import Mode
from engine.analysis.stats import point_fields, summarize, summarize_timings
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic, TimingSummary


class SeedCurve(ResultModel):
    """One mode's test accuracies of one seed."""

    mode: Mode
    fractions_percent: tuple[float, ...]
    counts: tuple[int, ...]
    """Number of parameters in each fraction."""
    test_accuracy: tuple[float, ...]
    """In [0, 1], at each fraction."""


class ReinitSeedResult(SeedResult):
    """One seed's training and its sweep."""

    num_parameters: int
    curves: tuple[SeedCurve, ...]
    sweep_seconds: float
    """Time to rank all parameters and evaluate every mixture."""


class PointCurve(ResultModel):
    """One mode's test accuracy over the seeds."""

    mode: Mode
    fractions_percent: tuple[float, ...]
    counts: tuple[int, ...]
    """Number of parameters in each fraction."""
    test_accuracy: tuple[Statistic, ...]
    """At each fraction."""


class ReinitPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the trained net."""

    initial_test_accuracy: Statistic
    """Of the random net."""
    num_parameters: int
    curves: tuple[PointCurve, ...]
    sweep_seconds: Statistic
    timings: TimingSummary
    """Of the training."""


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def _summarize_point(point: FinishedPoint) -> ReinitPointResult:
    results = reinit_results(point)
    return ReinitPointResult(
        **point_fields(point),
        initial_test_accuracy=summarize(result.initial_test_accuracy for result in results),
        num_parameters=results[0].num_parameters,
        curves=tuple(
            _summarize_curve(curves)
            for curves in zip(*(result.curves for result in results), strict=True)
        ),
        sweep_seconds=summarize(result.sweep_seconds for result in results),
        timings=summarize_timings([result.timings for result in results]),
    )


def reinit_results(point: FinishedPoint) -> list[ReinitSeedResult]:
    """The results of the point's finished seeds."""
    results = [result for result in point.results if isinstance(result, ReinitSeedResult)]
    assert len(results) == len(point.results)
    return results


def _summarize_curve(curves: Sequence[SeedCurve]) -> PointCurve:
    """The seeds of a point share one spec, hence one grid of fractions."""
    first = curves[0]
    by_fraction = zip(*(curve.test_accuracy for curve in curves), strict=True)
    return PointCurve(
        mode=first.mode,
        fractions_percent=first.fractions_percent,
        counts=first.counts,
        test_accuracy=tuple(summarize(accuracies) for accuracies in by_fraction),
    )
