"""The results of a plain training: of a seed and of a point."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.stats import POSITIVE, SHARE, point_fields, summarize, summarize_timings
from engine.kind import FinishedPoint
from engine.result import PointResult, SeedResult, Statistic, TimingSummary


class TrainSeedResult(SeedResult):
    """One seed's training."""


class TrainPointResult(PointResult):
    """One point over its seeds."""

    initial_test_accuracy: Statistic
    train_loss: Statistic | None
    """Null where some seed's loss was not finite."""
    timings: TimingSummary


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def _summarize_point(point: FinishedPoint) -> TrainPointResult:
    losses = [result.train_loss for result in point.results if result.train_loss is not None]
    return TrainPointResult(
        **point_fields(point),
        initial_test_accuracy=summarize(
            (result.initial_test_accuracy for result in point.results), SHARE
        ),
        train_loss=summarize(losses, POSITIVE) if len(losses) == len(point.results) else None,
        timings=summarize_timings([result.timings for result in point.results]),
    )
