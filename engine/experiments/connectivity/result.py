"""The results of linear mode connectivity: of a seed and of a point, by split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.analysis.stats import DIFFERENCE, SHARE, point_fields, summarize, summarize_timings
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic, TimingSummary

STABLE_BELOW = 0.02
"""The source calls a net stable whose instability is below 2 % (arXiv 1912.05671, Section 2)."""


class SeedLayerInstability(ResultModel):
    """One layer that moves along the lines alone, of one seed."""

    name: str
    instability: float
    """The highest test error on the line less the mean test error of the two children."""


class SeedSplit(ResultModel):
    """The children that part after one step, of one seed: the mean over its lines."""

    step: int
    """k, in steps of the training"""
    test_error: tuple[float, ...]
    """In [0, 1], at even places of the line from child 1 to another one, ends included."""
    train_error: tuple[float, ...]
    instability: float
    """The highest test error on the line less the mean of its ends."""
    train_instability: float
    layers: tuple[SeedLayerInstability, ...] = ()
    """`by_layer`, bottom first"""


class ConnectivitySeedResult(SeedResult):
    """One seed's training, which is child 1, and its splits, ascending.

    A split with a child that is not finite is left out.
    """

    splits: tuple[SeedSplit, ...]


class LayerInstability(ResultModel):
    """One layer that moves along the lines alone, over the seeds."""

    name: str
    instability: Statistic


class PointSplit(ResultModel):
    """The children that part after one step, over the seeds."""

    step: int
    test_error: tuple[Statistic, ...]
    train_error: tuple[Statistic, ...]
    instability: Statistic
    train_instability: Statistic
    layers: tuple[LayerInstability, ...] = ()


class ConnectivityPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of child 1."""

    initial_test_accuracy: Statistic
    splits: tuple[PointSplit, ...]
    """Ascending; over the seeds whose children are finite."""
    stable_from_step: int | None
    """The first split from which on the mean instability is below 2 % at every split; null where
    there is none, or where the net did not train."""
    timings: TimingSummary
    """Of the training that is child 1."""


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def _summarize_point(point: FinishedPoint) -> ConnectivityPointResult:
    by_step: dict[int, list[SeedSplit]] = {}
    for result in point.results:
        assert isinstance(result, ConnectivitySeedResult)
        for split in result.splits:
            by_step.setdefault(split.step, []).append(split)
    splits = tuple(_summarize_split(found) for _, found in sorted(by_step.items()))
    fields = point_fields(point)
    is_trained = fields["outcome"] == "trained"
    return ConnectivityPointResult(
        **fields,
        initial_test_accuracy=summarize(
            (result.initial_test_accuracy for result in point.results), SHARE
        ),
        splits=splits,
        stable_from_step=find_stable(splits) if is_trained else None,
        timings=summarize_timings([result.timings for result in point.results]),
    )


def find_stable(splits: Sequence[PointSplit]) -> int | None:
    """The first split from which on every one is stable on average; None where the last is not."""
    found = None
    for split in reversed(splits):
        if split.instability.mean >= STABLE_BELOW:
            break
        found = split.step
    return found


def _summarize_split(splits: Sequence[SeedSplit]) -> PointSplit:
    """The seeds of a point share one spec, hence one number of points on a line."""
    return PointSplit(
        step=splits[0].step,
        test_error=_summarize_line(split.test_error for split in splits),
        train_error=_summarize_line(split.train_error for split in splits),
        instability=summarize((split.instability for split in splits), SHARE),
        train_instability=summarize((split.train_instability for split in splits), SHARE),
        layers=tuple(
            LayerInstability(
                name=layers[0].name,
                instability=summarize((layer.instability for layer in layers), DIFFERENCE),
            )
            for layers in zip(*(split.layers for split in splits), strict=True)
        ),
    )


def _summarize_line(errors: Iterable[Sequence[float]]) -> tuple[Statistic, ...]:
    return tuple(summarize(at_place, SHARE) for at_place in zip(*errors, strict=True))
