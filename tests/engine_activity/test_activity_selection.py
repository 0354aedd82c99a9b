"""Which parameters are active: the selection against a plain stable sort, and counts by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.analysis.activity import ActivityCounter
from engine.analysis.fractions import count_of
from engine.analysis.movement import magnitude_bits, rank_magnitudes

Selection = Callable[[Tensor, float], Tensor]
"""bool [p]: which entries of a gradient are active at alpha %"""


def rank_plainly(gradient: Tensor) -> list[int]:
    """Indices by |g| descending, equal ones by index.

    Compares bits, as arithmetic may flush denormals.
    """
    magnitudes = [bits & 0x7FFFFFFF for bits in gradient.view(torch.int32).tolist()]
    return sorted(range(len(magnitudes)), key=lambda index: (-magnitudes[index], index))


def mark(indices: list[int], gradient: Tensor) -> Tensor:
    active = torch.zeros(len(gradient), dtype=torch.bool)
    active[indices] = True
    return active


def is_zero(gradient: Tensor) -> Tensor:
    return gradient.view(torch.int32) & 0x7FFFFFFF == 0


def sort_plainly(gradient: Tensor, alpha: float) -> Tensor:
    """By definition: the alpha % largest |g|, equal ones by index, zeros never."""
    return sort_with_zeros_active(gradient, alpha) & ~is_zero(gradient)


def sort_with_zeros_active(gradient: Tensor, alpha: float) -> Tensor:
    return mark(rank_plainly(gradient)[: count_of(alpha, len(gradient))], gradient)


def sort_with_later_ones_first(gradient: Tensor, alpha: float) -> Tensor:
    return sort_plainly(gradient.flip(0), alpha).flip(0)


def sort_by_value(gradient: Tensor, alpha: float) -> Tensor:
    return sort_plainly(gradient.clamp_min(0), alpha)


def select(gradient: Tensor, *alphas: float) -> list[Tensor]:
    counter = ActivityCounter(alphas, 1)
    counter.count(0, gradient)
    return [counts.bool() for counts in counter.of(0).counts]


ZERO, MINUS_ZERO, ONE, MINUS_ONE, ABOVE_ONE, DENORMAL, MINUS_DENORMAL = (
    0, -(2**31), 0x3F800000, 0x3F800000 - 2**31, 0x3F800001, 1, 0x7FFFF - 2**31,
)  # fmt: skip
# Few distinct magnitudes, so that ties and zeros are common; and the bits of any finite float32.
few_bits = st.sampled_from([ZERO, MINUS_ZERO, ONE, MINUS_ONE, ABOVE_ONE, DENORMAL, MINUS_DENORMAL])
any_bits = st.integers(0, 0x7F7FFFFF) | st.integers(-(2**31), 0x7F7FFFFF - 2**31)
bit_lists = st.lists(few_bits | any_bits, min_size=1, max_size=80) | st.lists(
    few_bits, min_size=1, max_size=80
)
gradients = bit_lists.map(lambda bits: torch.tensor(bits, dtype=torch.int32).view(torch.float32))
percents = st.sampled_from([0.5, 1.0, 3.0, 10.0, 30.0, 50.0, 77.0, 100.0])


@settings(deadline=None, max_examples=100)
@given(gradients, st.sets(percents, min_size=1, max_size=4))
def test_the_selection_equals_that_of_a_stable_sort(gradient: Tensor, alphas: set[float]) -> None:
    ascending = sorted(alphas)
    for alpha, active in zip(ascending, select(gradient, *ascending), strict=True):
        assert torch.equal(active, sort_plainly(gradient, alpha))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_selection_equals_that_of_a_stable_sort_on_a_long_vector(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient = (
        torch.randn(30_011, generator=generator) * torch.rand(30_011, generator=generator) ** 8
    )
    gradient[torch.rand(30_011, generator=generator) < 0.4] = 0.0
    gradient[5::7] = gradient[3]  # thousands of ties across one cut or another
    for alpha, active in zip(
        (1.0, 10.0, 30.0, 90.0), select(gradient, 1.0, 10.0, 30.0, 90.0), strict=True
    ):
        assert torch.equal(active, sort_plainly(gradient, alpha))


@pytest.mark.parametrize(
    "wrong", [sort_with_later_ones_first, sort_with_zeros_active, sort_by_value]
)
def test_another_rule_for_ties_zeros_or_signs_is_detected(wrong: Selection) -> None:
    gradient = torch.tensor([0.0, -2.0, 1.0, -1.0, 1.0, 0.0, 0.0, 0.0])
    found = {alpha: select(gradient, alpha)[0] for alpha in (25.0, 75.0)}
    assert all(
        torch.equal(active, sort_plainly(gradient, alpha)) for alpha, active in found.items()
    )
    assert any(not torch.equal(active, wrong(gradient, alpha)) for alpha, active in found.items())


def test_counts_ties_and_zeros_match_a_hand_computation() -> None:
    counter = ActivityCounter((20.0, 60.0), 3)
    for gradient in (
        [0.5, -0.5, 0.1, 0.0, 0.2],  # 20 %: index 0, tied with 1; 60 %: 0, 1, 4
        [0.0, 0.0, 0.0, 0.0, -7.0],  # only one is not zero: both alphas select it
        [1.0, -2.0, 3.0, -4.0, 0.5],  # 20 %: index 3; 60 %: 3, 2, 1
    ):
        counter.count(7, torch.tensor(gradient))
    found = counter.of(7)
    assert [counts.tolist() for counts in found.counts] == [[1, 0, 0, 1, 1], [1, 2, 1, 1, 2]]
    assert found.num_selected == [3, 7]
    assert found.num_tied == [1, 0]
    assert found.num_zeros == 1 + 4
    assert found.num_epochs == 3


def test_a_gradient_that_is_not_finite_is_not_counted() -> None:
    counter = ActivityCounter((50.0,), 4)
    for value in (float("nan"), float("inf"), -float("inf")):
        counter.count(0, torch.tensor([1.0, value, 0.0, 3.0]))
    counter.count(0, torch.tensor([1.0, 2.0, 0.0, 3.0]))
    assert counter.of(0).num_epochs == 1
    assert counter.of(0).counts[0].tolist() == [0, 1, 0, 1]
    assert counter.of(0).num_zeros == 1


def test_counts_beyond_a_byte_do_not_wrap() -> None:
    counter = ActivityCounter((50.0,), 300)
    for _ in range(300):
        counter.count(0, torch.tensor([1.0, 2.0]))
    assert counter.of(0).counts[0].tolist() == [0, 300]


def test_a_captured_counter_is_restored() -> None:
    counter, copy = ActivityCounter((1.0, 50.0), 9), ActivityCounter((1.0, 50.0), 9)
    gradient = torch.linspace(-1, 1, 201)
    counter.count(3, gradient)
    counter.count(11, gradient.flip(0))
    copy.restore(counter.capture())
    for each in (counter, copy):
        each.count(3, gradient.roll(5))
    for seed in (3, 11):
        ours, theirs = copy.of(seed), counter.of(seed)
        assert all(map(torch.equal, ours.counts, theirs.counts))
        assert (ours.num_selected, ours.num_tied, ours.num_zeros, ours.num_epochs) == (
            theirs.num_selected,
            theirs.num_tied,
            theirs.num_zeros,
            theirs.num_epochs,
        )


@settings(deadline=None, max_examples=60)
@given(gradients, st.lists(st.integers(0, 80), max_size=6))
def test_every_cut_separates_the_largest_from_the_rest(gradient: Tensor, cuts: list[int]) -> None:
    counts = sorted(min(cut, len(gradient)) for cut in cuts)
    bits = magnitude_bits(gradient)
    ranking = rank_magnitudes(bits, counts)
    order = rank_plainly(gradient)
    for position, count in enumerate(counts):
        assert ranking.first(position).nonzero().flatten().tolist() == sorted(order[:count])
        inside = [index for index in order[:count] if bits[index] == bits[order[count - 1]]]
        beyond = [index for index in order[count:] if bits[index] == bits[order[count - 1]]]
        assert ranking.num_tied[position] == (len(inside) if count and beyond else 0)
