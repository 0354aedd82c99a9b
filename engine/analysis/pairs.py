"""Compare two points seed by seed, so that what the seeds share cancels. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from statistics import fmean
from typing import TypeVar

from engine.analysis.stats import (
    POSITIVE,
    UNBOUNDED,
    Bounds,
    bounds_of_difference,
    measured_apart,
    summarize,
    warn_of_few_seeds,
)
from engine.result import ResultModel, SeedResult, Statistic

AnySeedResult = TypeVar("AnySeedResult", bound=SeedResult)


class PairedComparison(ResultModel):
    """One point compared with another over the seeds that both have finished."""

    seeds: tuple[int, ...]
    difference: dict[str, Statistic]
    """By quantity: the point's value minus the baseline's, paired by seed."""
    ratio: dict[str, Statistic]
    """By time: the point's value over the baseline's, paired by seed: the mean of one ratio for
    each separate measurement. Omits a time that is zero in the baseline."""
    notes: tuple[str, ...]


def pair_by_seed(
    results: Sequence[AnySeedResult], baseline: Sequence[AnySeedResult]
) -> list[tuple[AnySeedResult, AnySeedResult]]:
    """(result, baseline result) for each seed that both have, in the order of `results`."""
    by_seed = {result.seed: result for result in baseline}
    return [(result, by_seed[result.seed]) for result in results if result.seed in by_seed]


def compare_pairs(pairs: Sequence[tuple[SeedResult, SeedResult]]) -> PairedComparison:
    """Differences of accuracies and loss, ratios of times. pairs: at least one."""
    differences = {
        name: summarize_difference(pairs, quantity, bounds_of_difference(name))
        for name, quantity in SEED_QUANTITIES.items()
        if all(quantity(one) is not None for pair in pairs for one in pair)
    }
    ratios = {name: summarize_ratio(pairs, quantity) for name, quantity in _RATIOS.items()}
    few = warn_of_few_seeds(len(pairs))
    return PairedComparison(
        seeds=tuple(ours.seed for ours, _ in pairs),
        difference=differences,
        ratio={name: ratio for name, ratio in ratios.items() if ratio is not None},
        notes=(*((few,) if few else ()), *list_timing_notes(pairs)),
    )


def summarize_difference(
    pairs: Sequence[tuple[AnySeedResult, AnySeedResult]],
    quantity: Callable[[AnySeedResult], float | None],
    bounds: Bounds = UNBOUNDED,
) -> Statistic:
    """Statistic of result minus baseline. quantity: not None for any result of `pairs`.

    bounds: of the difference.
    """
    values = [(quantity(ours), quantity(base)) for ours, base in pairs]
    return summarize(
        (ours - base for ours, base in values if ours is not None and base is not None), bounds
    )


def summarize_ratio(
    pairs: Sequence[tuple[AnySeedResult, AnySeedResult]], quantity: Callable[[AnySeedResult], float]
) -> Statistic | None:
    """Statistic of result over baseline: the mean of one ratio for each separate measurement.

    Seeds that trained as one stack, on either side, share one measured time; their pairs give one
    ratio, of the means of both sides. Pairs with a training that ended early are left out. None
    without pairs, or where a baseline is zero.
    """
    pairs = [pair for pair in pairs if not any(map(ended_early, pair))]
    if not pairs or any(quantity(base) <= 0 for _, base in pairs):
        return None
    ratios = (
        fmean(map(quantity, ours)) / fmean(map(quantity, base))
        for ours, base in _measured_together(pairs)
    )
    return summarize(ratios, POSITIVE)


def summarize_timed_difference(
    pairs: Sequence[tuple[AnySeedResult, AnySeedResult]], quantity: Callable[[AnySeedResult], float]
) -> Statistic:
    """Statistic of a measured time less the baseline's: one difference for each separate
    measurement, as in `summarize_ratio`. pairs: at least one."""
    return summarize(
        fmean(map(quantity, ours)) - fmean(map(quantity, base))
        for ours, base in _measured_together(pairs)
    )


def _measured_together(
    pairs: Sequence[tuple[AnySeedResult, AnySeedResult]],
) -> list[tuple[list[AnySeedResult], list[AnySeedResult]]]:
    """The pairs in groups that share no measured time: of each side one result a measurement."""
    groups: list[tuple[set[Hashable], list[tuple[AnySeedResult, AnySeedResult]]]] = []
    for index, pair in enumerate(pairs):
        keys: set[Hashable] = {
            (side, one.timings if one.timings.stacked_seeds > 1 else index)
            for side, one in enumerate(pair)
        }
        touching = [group for group in groups if group[0] & keys]
        groups = [group for group in groups if not group[0] & keys]
        members = [member for group in touching for member in group[1]]
        groups.append((keys.union(*(group[0] for group in touching)), [*members, pair]))
    return [
        (_measurements([ours for ours, _ in members]), _measurements([base for _, base in members]))
        for _, members in groups
    ]


def _measurements(results: Sequence[AnySeedResult]) -> list[AnySeedResult]:
    return measured_apart(results, lambda one: (one.timings,))


def list_timing_notes(pairs: Sequence[tuple[SeedResult, SeedResult]]) -> tuple[str, ...]:
    """Warnings where the times of a pair come from different runs, or of fewer epochs."""
    notes = []
    if any(ours.reused_from != base.reused_from for ours, base in pairs if ours is not base):
        notes.append(
            "Some of the compared times were measured by an earlier run, perhaps on another "
            "machine."
        )
    early = sum(any(map(ended_early, pair)) for pair in pairs)
    if early:
        notes.append(
            f"Ratios of times leave out {early} of {len(pairs)} seeds: their loss was not finite, "
            "so the training ended early."
        )
    return tuple(notes)


def ended_early(result: SeedResult) -> bool:
    """Whether a training ended at a loss that was not finite: its times are of fewer epochs."""
    return result.outcome == "not_finite"


SEED_QUANTITIES: dict[str, Callable[[SeedResult], float | None]] = {
    "test_accuracy": lambda result: result.test_accuracy,
    "initial_test_accuracy": lambda result: result.initial_test_accuracy,
    "train_loss": lambda result: result.train_loss,
}
"""Of every kind: what two points are compared in"""
_RATIOS: dict[str, Callable[[SeedResult], float]] = {
    "backward_seconds": lambda result: result.timings.backward_seconds,
    "train_seconds": lambda result: result.timings.train_seconds,
}
