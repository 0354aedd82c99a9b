"""The cuts of the order of magnitudes equal those of a stable sort for all bit patterns."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import movement
from engine.analysis.fractions import count_of, default_grid, distinct_counts
from engine.analysis.movement import Ranking, magnitude_bits, rank_magnitudes, read_thresholds

EDGE_CASES = (
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000,
    0xBF800000, 0x3F800001, 0x3F80FFFF, 0x3F810000, 0x7F7FFFFF, 0x7F800000, 0xFF800000,
    0x7F800001, 0x7FC00000, 0xFFC00000, 0x7FFFFFFF,
)  # fmt: skip
"""Zeros, denormals, neighbours within and across a bin of the upper 16 bits, infinities and NaNs of
both signs."""
PATTERNS = st.one_of(st.sampled_from(EDGE_CASES), st.integers(0, 2**32 - 1))


def from_patterns(patterns: Sequence[int]) -> torch.Tensor:
    """float32 of these bits, without arithmetic."""
    signed = [pattern - 2**32 if pattern >= 2**31 else pattern for pattern in patterns]
    return torch.tensor(signed, dtype=torch.int32).view(torch.float32)


def order_of(patterns: Sequence[int]) -> list[int]:
    """Indices by magnitude, descending, equal ones by index: Python's sort is stable."""
    return sorted(range(len(patterns)), key=lambda index: -(patterns[index] & 0x7FFFFFFF))


def assert_cuts_are_those_of_a_stable_sort(
    rank: Callable[[torch.Tensor, Sequence[int]], Ranking],
    patterns: Sequence[int],
    counts: Sequence[int],
) -> None:
    ranking = rank(magnitude_bits(from_patterns(patterns)), counts)
    order = order_of(patterns)
    for position, count in enumerate(counts):
        assert set(ranking.first(position).nonzero().flatten().tolist()) == set(order[:count])


@st.composite
def ranked_numbers(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    patterns = draw(st.lists(PATTERNS, min_size=1, max_size=60))
    counts = draw(st.lists(st.integers(0, len(patterns)), max_size=12, unique=True))
    return patterns, sorted(counts)


@pytest.mark.parametrize("coarse_below", [0, 1 << 20], ids=["fine bins", "coarse bins"])
@settings(max_examples=200, deadline=None)
@given(drawn=ranked_numbers())
def test_cuts_equal_those_of_a_stable_sort(
    drawn: tuple[list[int], list[int]], coarse_below: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movement, "_COARSE_BELOW", coarse_below)
        assert_cuts_are_those_of_a_stable_sort(rank_magnitudes, *drawn)


@settings(max_examples=150, deadline=None)
@given(ranked_numbers())
def test_thresholds_and_ties_equal_those_of_sorted_numbers(
    drawn: tuple[list[int], list[int]],
) -> None:
    patterns, counts = drawn
    bits = magnitude_bits(from_patterns(patterns))
    ranking = rank_magnitudes(bits, counts)
    ordered = [patterns[index] & 0x7FFFFFFF for index in order_of(patterns)]
    for count, threshold, tied in zip(
        counts, read_thresholds(bits, ranking), ranking.num_tied, strict=True
    ):
        if count == 0:
            assert threshold is None
            continue
        last = ordered[count - 1]
        (expected,) = struct.unpack("f", struct.pack("I", last))
        assert threshold == expected or (math.isnan(threshold or 0.0) and math.isnan(expected))
        goes_on = count < len(ordered) and ordered[count] == last
        assert tied == (ordered[:count].count(last) if goes_on else 0)


def test_a_ranking_that_selects_the_last_of_equals_is_detected() -> None:
    def rank_backwards(bits: torch.Tensor, counts: Sequence[int]) -> Ranking:
        ranking = rank_magnitudes(bits.flip(0), counts)
        return Ranking(ranking.counts, ranking.groups.flip(0), ranking.num_tied)

    equal = [0x3F800000] * 5
    assert_cuts_are_those_of_a_stable_sort(rank_magnitudes, equal, [2])
    with pytest.raises(AssertionError):
        assert_cuts_are_those_of_a_stable_sort(rank_backwards, equal, [2])


@pytest.mark.parametrize("size", [0, 1, 2**16 + 3])
def test_many_zeros_are_cut_by_index(size: int) -> None:
    patterns = [0x3F800000, *[0x80000000, 0] * (size // 2), 0x3F800000]
    counts = sorted({0, 1, 2, min(3, len(patterns)), len(patterns) // 2 + 1, len(patterns)})
    assert_cuts_are_those_of_a_stable_sort(rank_magnitudes, patterns, counts)


def test_the_largest_number_of_cuts_of_a_spec_is_exact() -> None:
    patterns = from_patterns([0]).new_empty(3000).normal_().view(torch.int32).tolist()
    counts = list(range(0, 254 * 11, 11))
    assert_cuts_are_those_of_a_stable_sort(
        rank_magnitudes, [pattern % 2**32 for pattern in patterns], counts
    )


def test_a_fraction_is_rounded_to_the_nearest_count() -> None:
    assert [count_of(percent, 79_510) for percent in (0, 0.01, 0.1, 10, 100)] == [
        0,
        8,
        80,
        7951,
        79_510,
    ]
    assert distinct_counts((0, 0.01, 0.02, 50, 100), 10) == (0, 5, 10)
    grid = default_grid()
    assert list(grid) == sorted(set(grid))
    assert (grid[0], grid[1], grid[-1], len(grid)) == (0.0, 0.01, 100.0, 40)
    assert {0.1, 1.0, 10.0} < set(grid)
