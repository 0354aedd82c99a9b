"""The times of stacked seeds are one measurement."""

from __future__ import annotations

from engine.analysis.pairs import compare_pairs
from engine.analysis.stats import summarize_timings
from engine.result import SeedResult, Timings


def seed_result(seed: int, seconds: float, stacked_seeds: int = 1) -> SeedResult:
    return SeedResult(
        seed=seed,
        outcome="trained",
        test_accuracy=0.9,
        initial_test_accuracy=0.1,
        train_loss=0.1,
        timings=Timings(backward_seconds=seconds, stacked_seeds=stacked_seeds),
    )


def test_a_stack_of_seeds_is_one_measurement_without_an_error() -> None:
    stack = [seed_result(seed, 2.0, stacked_seeds=3) for seed in range(3)]
    alone = summarize_timings([one.timings for one in stack]).backward_seconds
    assert (alone.mean, alone.standard_error, alone.n) == (2.0, None, 1)
    two = summarize_timings(
        [one.timings for one in (*stack, seed_result(3, 4.0, 2), seed_result(4, 4.0, 2))]
    )
    assert (two.backward_seconds.mean, two.backward_seconds.n) == (3.0, 2)


def test_seeds_that_trained_alone_are_separate_measurements_even_with_equal_times() -> None:
    found = summarize_timings(
        [seed_result(seed, 2.0).timings for seed in range(3)]
    ).backward_seconds
    assert (found.mean, found.standard_error, found.n) == (2.0, 0.0, 3)


def test_a_ratio_of_two_stacks_is_one_measurement_but_their_accuracies_are_three() -> None:
    pairs = [(seed_result(seed, 2.0, 3), seed_result(seed, 4.0, 3)) for seed in range(3)]
    found = compare_pairs(pairs)
    assert (found.ratio["backward_seconds"].mean, found.ratio["backward_seconds"].n) == (0.5, 1)
    assert found.difference["test_accuracy"].n == 3


def test_a_ratio_with_a_stack_on_one_side_is_one_measurement() -> None:
    """Five ratios of one shared time would have an interval that covers too seldom."""
    stack = [seed_result(seed, 3.0, 3) for seed in range(3)]
    alone = [seed_result(seed, 1.0 + seed) for seed in range(3)]
    for ours, base, ratio in ((stack, alone, 1.5), (alone, stack, 2 / 3)):
        found = compare_pairs(list(zip(ours, base, strict=True))).ratio["backward_seconds"]
        assert (found.mean, found.n, found.ci95) == (ratio, 1, None)


def test_stacks_that_overlap_are_one_measurement_and_others_are_separate() -> None:
    ours = [seed_result(seed, 2.0, 2) for seed in (0, 1)] + [seed_result(2, 4.0)]
    base = [seed_result(0, 1.0)] + [seed_result(seed, 3.0, 2) for seed in (1, 2)]
    pairs = [*zip(ours, base, strict=True), (seed_result(3, 6.0), seed_result(3, 3.0))]
    found = compare_pairs(pairs).ratio["backward_seconds"]
    # Seeds 0 to 2 hang together: (2 + 4) / 2 over (1 + 3) / 2.
    assert (found.n, found.mean) == (2, (3.0 / 2.0 + 2.0) / 2)
