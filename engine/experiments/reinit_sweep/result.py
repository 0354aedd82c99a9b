"""The results of a re-initialisation sweep: of a seed and of a point, with one curve per mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from engine.analysis.fractions import percent_key
from engine.analysis.stats import (
    POSITIVE,
    SHARE,
    point_fields,
    summarize,
    summarize_less,
    summarize_timings,
)
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic, TimingSummary

CurveMode = Literal["active", "lazy", "random"]
"""`random`: as many parameters as in `active` are reset, drawn at random."""
PERCENTS = (0.1, 1.0, 10.0)
"""The fractions of interest, each where it was swept"""


class SeedCurve(ResultModel):
    """One mode's test accuracies of one seed."""

    mode: CurveMode
    fractions_percent: tuple[float, ...]
    counts: tuple[int, ...]
    """Number of parameters in each fraction."""
    test_accuracy: tuple[float, ...]
    """In [0, 1], at each fraction."""


class ReinitSeedResult(SeedResult):
    """One seed's training and its sweep."""

    num_parameters: int
    curves: tuple[SeedCurve, ...]
    layers: tuple[SeedLayer, ...] = ()
    """Mode `layer`, bottom first."""
    sweep_seconds: float
    """Time to rank all parameters and evaluate every mixture."""


class SeedLayer(ResultModel):
    """One layer reset as a whole, of one seed."""

    name: str
    num_parameters: int
    test_accuracy: float
    """In [0, 1]."""


class PointLayer(ResultModel):
    """One layer reset as a whole, over the seeds."""

    name: str
    num_parameters: int
    test_accuracy: Statistic


class PointCurve(ResultModel):
    """One mode's test accuracy over the seeds."""

    mode: CurveMode
    fractions_percent: tuple[float, ...]
    counts: tuple[int, ...]
    """Number of parameters in each fraction."""
    test_accuracy: tuple[Statistic, ...]
    """At each fraction."""
    lost: dict[str, Statistic] = Field(default_factory=dict)
    """At 0.1, 1 and 10 %, where they were swept: accuracy of the trained net less that at the
    fraction, paired by seed."""


class ReinitPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the trained net."""

    initial_test_accuracy: Statistic
    """Of the random net."""
    num_parameters: int
    curves: tuple[PointCurve, ...]
    layers: tuple[PointLayer, ...] = ()
    """Mode `layer`, bottom first."""
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
        initial_test_accuracy=summarize(
            (result.initial_test_accuracy for result in results), SHARE
        ),
        num_parameters=results[0].num_parameters,
        curves=tuple(
            _summarize_curve(curves, [result.test_accuracy for result in results])
            for curves in zip(*(result.curves for result in results), strict=True)
        ),
        layers=tuple(
            _summarize_layer(layers)
            for layers in zip(*(result.layers for result in results), strict=True)
        ),
        sweep_seconds=summarize((result.sweep_seconds for result in results), POSITIVE),
        timings=summarize_timings([result.timings for result in results]),
    )


def reinit_results(point: FinishedPoint) -> list[ReinitSeedResult]:
    """The results of the point's finished seeds."""
    results = [result for result in point.results if isinstance(result, ReinitSeedResult)]
    assert len(results) == len(point.results)
    return results


def _summarize_curve(curves: Sequence[SeedCurve], trained: Sequence[float]) -> PointCurve:
    """The seeds of a point share one spec, hence one grid of fractions.

    trained: the accuracy of each seed's trained net.
    """
    first = curves[0]
    by_fraction = list(zip(*(curve.test_accuracy for curve in curves), strict=True))
    found = dict(zip(first.fractions_percent, by_fraction, strict=True))
    return PointCurve(
        mode=first.mode,
        fractions_percent=first.fractions_percent,
        counts=first.counts,
        test_accuracy=tuple(summarize(accuracies, SHARE) for accuracies in by_fraction),
        lost={
            percent_key(percent): summarize_less(trained, found[percent])
            for percent in PERCENTS
            if percent in found
        },
    )


def _summarize_layer(layers: Sequence[SeedLayer]) -> PointLayer:
    return PointLayer(
        name=layers[0].name,
        num_parameters=layers[0].num_parameters,
        test_accuracy=summarize((layer.test_accuracy for layer in layers), SHARE),
    )
