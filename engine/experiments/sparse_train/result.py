"""The results of sparse training: of a seed and of a point, with one curve per mask."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.stats import (
    SHARE,
    point_fields,
    summarize,
    summarize_less,
    summarize_shared_times,
)
from engine.experiments.sparse_train.spec import Mask
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic


class SeedMask(ResultModel):
    """One mask's trainings of one seed."""

    mask: Mask
    shares_percent: tuple[float, ...]
    """Percent of all parameters that may move."""
    counts: tuple[int, ...]
    """Number of parameters that may move."""
    test_accuracy: tuple[float, ...]
    """In [0, 1], at each share."""


class SparseTrainSeedResult(SeedResult):
    """One seed: the training with all parameters, and its masked trainings."""

    num_parameters: int
    curves: tuple[SeedMask, ...]
    masked_seconds: float
    """Time of the masked trainings."""
    stacked_seeds: int = 1
    """Seeds in the stack in which these trained: their times are one measurement."""


class PointMask(ResultModel):
    """One mask's trainings over the seeds."""

    mask: Mask
    shares_percent: tuple[float, ...]
    """Percent of all parameters that may move."""
    counts: tuple[int, ...]
    """Number of parameters that may move."""
    test_accuracy: tuple[Statistic, ...]
    """At each share."""
    loss: tuple[Statistic, ...]
    """Test accuracy of the training with all parameters less this, paired by seed."""


class SparseTrainPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the training with all parameters."""

    initial_test_accuracy: Statistic
    num_parameters: int
    curves: tuple[PointMask, ...]
    masked_seconds: Statistic


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def _summarize_point(point: FinishedPoint) -> SparseTrainPointResult:
    results = [one for one in point.results if isinstance(one, SparseTrainSeedResult)]
    assert len(results) == len(point.results)
    dense = [result.test_accuracy for result in results]
    return SparseTrainPointResult(
        **point_fields(point),
        initial_test_accuracy=summarize((one.initial_test_accuracy for one in results), SHARE),
        num_parameters=results[0].num_parameters,
        curves=tuple(
            _summarize_mask(masks, dense)
            for masks in zip(*(result.curves for result in results), strict=True)
        ),
        masked_seconds=summarize_shared_times(
            (one.masked_seconds, one.stacked_seeds) for one in results
        ),
    )


def _summarize_mask(masks: Sequence[SeedMask], dense: Sequence[float]) -> PointMask:
    """The seeds of a point share one spec, hence one list of shares."""
    first = masks[0]
    by_share = list(zip(*(one.test_accuracy for one in masks), strict=True))
    return PointMask(
        mask=first.mask,
        shares_percent=first.shares_percent,
        counts=first.counts,
        test_accuracy=tuple(summarize(accuracies, SHARE) for accuracies in by_share),
        loss=tuple(summarize_less(dense, accuracies) for accuracies in by_share),
    )
