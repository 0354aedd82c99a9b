"""The results of layer-wise sparse SGD: of a seed, and of a point with its `full` point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from engine.analysis.pairs import (
    ended_early,
    list_timing_notes,
    pair_by_seed,
    summarize_difference,
    summarize_ratio,
)
from engine.analysis.stats import (
    DIFFERENCE,
    POSITIVE,
    SHARE,
    point_fields,
    summarize,
    summarize_timings,
)
from engine.experiments.lws.spec import LwsSpec
from engine.kind import FinishedPoint
from engine.models.spec import InitSpec, XavierSpec
from engine.result import PointResult, SeedResult, Statistic, TimingSummary
from engine.training.policies import FullPolicy, PolicySpec


class LwsSeedResult(SeedResult):
    """One seed's training under a policy."""

    epochs_by_lowest_layer: tuple[int, ...]
    """For each layer, bottom first: in how many epochs it was the lowest one trained."""
    cumulative_backward_seconds: tuple[float, ...]
    """Time inside backward from the start to the end of each epoch (Figure 23)."""
    cumulative_train_seconds: tuple[float, ...]
    """Full training time from the start to the end of each epoch."""


class LwsPointResult(PointResult):
    """One point over its seeds.

    Ratios and `difference` are to the `full` point whose spec is otherwise equal. A ratio is the
    mean of one ratio for each separate measurement; Table 1 prints ratios of mean times.
    """

    policy: PolicySpec
    initial_test_accuracy: Statistic
    difference: Statistic | None
    """Test accuracy minus that of `full`, paired by seed; null without such a point."""
    difference_to_xavier: Statistic | None
    """The same to `full` from Xavier initialisation, as Table 1 prints it of pretrained nets."""
    backward_seconds: Statistic
    """Time inside backward, summed over training. Of the seeds whose training did not end early,
    where there are any."""
    backward_ratio: Statistic | None
    train_seconds: Statistic
    """Load, forward, backward, optimiser and cache."""
    train_ratio: Statistic | None
    epochs_by_lowest_layer: tuple[Statistic, ...] = Field(
        description=(
            "For each layer, bottom first: in how many epochs it was the lowest one trained."
        )
    )
    timings: TimingSummary


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [
        _summarize_point(
            point, find_full_point(point, points), find_full_point(point, points, XavierSpec())
        )
        for point in points
        if point.results
    ]


def find_full_point(
    point: FinishedPoint, points: Sequence[FinishedPoint], init: InitSpec | None = None
) -> FinishedPoint | None:
    """The first point with the policy `full` and an otherwise equal spec, or None.

    init: replaces the point's own.
    """
    wanted = _spec_without_policy(point)
    if init is not None:
        wanted["init"] = init.model_dump(mode="json")
    for candidate in points:
        assert isinstance(candidate.spec, LwsSpec)
        if (
            isinstance(candidate.spec.policy, FullPolicy)
            and _spec_without_policy(candidate) == wanted
        ):
            return candidate
    return None


def _spec_without_policy(point: FinishedPoint) -> dict[str, Any]:
    return point.spec.model_dump(mode="json", exclude={"policy"})


def _summarize_point(
    point: FinishedPoint, full: FinishedPoint | None, full_from_xavier: FinishedPoint | None
) -> LwsPointResult:
    assert isinstance(point.spec, LwsSpec)
    results = [_as_lws(result) for result in point.results]
    pairs = pair_by_seed(results, _results_of(full))
    timed = [result for result in results if not ended_early(result)] or results
    by_layer = zip(*(result.epochs_by_lowest_layer for result in results), strict=True)
    fields = point_fields(point)
    fields["notes"] = (*fields["notes"], *list_timing_notes(pairs))
    return LwsPointResult(
        **fields,
        policy=point.spec.policy,
        initial_test_accuracy=summarize(
            (result.initial_test_accuracy for result in results), SHARE
        ),
        difference=_difference(pairs),
        difference_to_xavier=_difference(pair_by_seed(results, _results_of(full_from_xavier))),
        backward_seconds=summarize((result.timings.backward_seconds for result in timed), POSITIVE),
        backward_ratio=summarize_ratio(pairs, lambda result: result.timings.backward_seconds),
        train_seconds=summarize((result.timings.train_seconds for result in timed), POSITIVE),
        train_ratio=summarize_ratio(pairs, lambda result: result.timings.train_seconds),
        epochs_by_lowest_layer=tuple(summarize(counts, POSITIVE) for counts in by_layer),
        timings=summarize_timings([result.timings for result in timed]),
    )


def _results_of(point: FinishedPoint | None) -> list[LwsSeedResult]:
    return [_as_lws(result) for result in point.results] if point else []


def _difference(pairs: Sequence[tuple[LwsSeedResult, LwsSeedResult]]) -> Statistic | None:
    """Of test accuracies; None without pairs."""
    if not pairs:
        return None
    return summarize_difference(pairs, lambda result: result.test_accuracy, DIFFERENCE)


def _as_lws(result: SeedResult) -> LwsSeedResult:
    assert isinstance(result, LwsSeedResult)
    return result
