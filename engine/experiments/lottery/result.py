"""The results of the lottery ticket: of a seed and of a point, with one curve per series."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.stats import (
    POSITIVE,
    SHARE,
    point_fields,
    summarize,
    summarize_less,
    summarize_shared_times,
)
from engine.experiments.lottery.spec import Series
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic


class SeedSeries(ResultModel):
    """One series of pruned nets of one seed, by round."""

    series: Series
    left_percent: tuple[float, ...]
    """Percent of the weights that are left."""
    counts: tuple[int, ...]
    """Number of weights that are left."""
    test_accuracy: tuple[float, ...]
    """In [0, 1], at the end of each training."""
    stop_epoch: tuple[int | None, ...]
    """The evaluated epoch with the lowest test loss; null if no loss was finite."""


class LotterySeedResult(SeedResult):
    """One seed: the training of the whole net, and those of its pruned nets."""

    num_weights: int
    """Weights that can be pruned."""
    curves: tuple[SeedSeries, ...]
    pruned_seconds: float
    """Time of the trainings after the first."""
    stacked_seeds: int = 1
    """Seeds in the stack in which these trained: their times are one measurement."""


class PointSeries(ResultModel):
    """One series of pruned nets over the seeds, by round."""

    series: Series
    left_percent: tuple[float, ...]
    """Percent of the weights that are left."""
    counts: tuple[int, ...]
    """Number of weights that are left."""
    test_accuracy: tuple[Statistic, ...]
    """At the end of each training."""
    gain: tuple[Statistic, ...]
    """Test accuracy less that of the whole net, paired by seed."""
    stop_epoch: tuple[Statistic | None, ...]
    """The evaluated epoch with the lowest test loss; null where a seed has none."""


class LotteryPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the whole net."""

    initial_test_accuracy: Statistic
    num_weights: int
    """Weights that can be pruned."""
    curves: tuple[PointSeries, ...]
    pruned_seconds: Statistic


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def _summarize_point(point: FinishedPoint) -> LotteryPointResult:
    results = [one for one in point.results if isinstance(one, LotterySeedResult)]
    assert len(results) == len(point.results)
    whole = [result.test_accuracy for result in results]
    return LotteryPointResult(
        **point_fields(point),
        initial_test_accuracy=summarize((one.initial_test_accuracy for one in results), SHARE),
        num_weights=results[0].num_weights,
        curves=tuple(
            _summarize_series(curves, whole)
            for curves in zip(*(result.curves for result in results), strict=True)
        ),
        pruned_seconds=summarize_shared_times(
            (one.pruned_seconds, one.stacked_seeds) for one in results
        ),
    )


def _summarize_series(curves: Sequence[SeedSeries], whole: Sequence[float]) -> PointSeries:
    first = curves[0]
    by_round = list(zip(*(one.test_accuracy for one in curves), strict=True))
    stops = zip(*(one.stop_epoch for one in curves), strict=True)
    return PointSeries(
        series=first.series,
        left_percent=first.left_percent,
        counts=first.counts,
        test_accuracy=tuple(summarize(accuracies, SHARE) for accuracies in by_round),
        gain=tuple(summarize_less(accuracies, whole) for accuracies in by_round),
        stop_epoch=tuple(_summarize_stops(epochs) for epochs in stops),
    )


def _summarize_stops(epochs: Sequence[int | None]) -> Statistic | None:
    known = [float(epoch) for epoch in epochs if epoch is not None]
    return summarize(known, POSITIVE) if len(known) == len(epochs) else None
