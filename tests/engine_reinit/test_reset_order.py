"""Criteria, scopes and cuts of the order of reset, computed by hand for ten parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.analysis import reset_order
from engine.analysis.movement import rank_by_sorting, rank_magnitudes
from engine.analysis.reset_order import LayerSpan, ResetOrder, order_parameters

REFERENCE = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0, 0.0, 2.0, -4.0, 1.0])
TRAINED = torch.tensor([1.0, 2.0, 0.0, -3.0, 3.0, 1.0, 0.5, -2.0, -1.0, 6.0])
LAYERS = (LayerSpan("layers.0", 0, 4), LayerSpan("layers.1", 4, 10))
# |difference|:        0     4    .5    3    0    2   .5    4    3    5
# |trained|:           1     2     0    3    3    1   .5    2    1    6
# increase:            0     0   -.5    3    0    0   .5    0   -3    5
BY_CRITERION = {
    "movement": [9, 1, 7, 3, 8, 5, 2, 6, 0, 4],
    "magnitude": [9, 3, 4, 1, 7, 0, 5, 8, 6, 2],
    "magnitude_increase": [9, 3, 6, 0, 1, 4, 5, 7, 2, 8],
}
PERCENTS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)


def order(
    criterion: Any, scope: Any = "global", percents: Sequence[float] = PERCENTS
) -> ResetOrder:
    return order_parameters(
        criterion,
        scope,
        reference=REFERENCE,
        trained=TRAINED,
        layers=LAYERS,
        percents=percents,
        seed=0,
    )


def first(found: ResetOrder, position: int) -> list[int]:
    """The indices before a cut."""
    return found.ranking.first(position).nonzero().flatten().tolist()


@pytest.mark.parametrize("criterion", BY_CRITERION)
def test_a_criterion_orders_by_its_value_and_then_by_index(criterion: str) -> None:
    found = order(criterion)
    for count in range(11):
        assert first(found, count) == sorted(BY_CRITERION[criterion][:count])
    assert found.counts == tuple(range(11))


def test_the_thresholds_are_those_of_the_last_parameter_before_a_cut() -> None:
    assert order("movement").thresholds == (None, 5, 4, 4, 3, 3, 2, 0.5, 0.5, 0, 0)
    assert order("magnitude").thresholds == (None, 6, 3, 3, 2, 2, 1, 1, 1, 0.5, 0)
    assert order("magnitude_increase").thresholds == (None, 5, 3, 0.5, 0, 0, 0, 0, 0, -0.5, -3)
    assert order("random").thresholds is None


def test_parameters_that_are_chosen_by_index_are_counted() -> None:
    assert order("movement").ranking.num_tied == (0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0)
    assert order("magnitude_increase").ranking.num_tied == (0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0)


def test_each_layer_gives_its_own_share() -> None:
    found = order("movement", "per_layer", (0, 50, 100))
    assert [first(found, position) for position in range(3)] == [
        [],
        [1, 3, 7, 8, 9],
        list(range(10)),
    ]
    assert found.ranking.counts == found.counts == (0, 5, 10)
    assert found.in_scope is None


def test_layers_with_names_give_their_share_and_no_other_layer_is_reset() -> None:
    found = order("movement", ("layers.0",), (0, 25, 50, 100))
    assert [first(found, position) for position in range(4)] == [[], [1], [1, 3], [0, 1, 2, 3]]
    assert found.counts == (0, 1, 2, 4)
    assert found.in_scope is not None
    assert found.in_scope.tolist() == [True] * 4 + [False] * 6
    both = order("movement", ("layers.0", "layers.1"))
    assert [first(both, count) for count in range(11)] == [
        first(order("movement"), count) for count in range(11)
    ]


def test_a_random_order_is_drawn_from_the_seed_and_nested() -> None:
    found, again = order("random"), order("random")
    assert torch.equal(found.ranking.groups, again.ranking.groups)
    other = order_parameters(
        "random",
        "global",
        reference=REFERENCE,
        trained=TRAINED * 7,
        layers=LAYERS,
        percents=PERCENTS,
        seed=1,
    )
    assert not torch.equal(found.ranking.groups, other.ranking.groups)
    for count in range(10):
        assert set(first(found, count)) < set(first(found, count + 1))


def test_every_parameter_is_as_likely_to_come_first_at_random() -> None:
    counts = torch.zeros(10)
    for seed in range(2_000):
        drawn = order_parameters(
            "random",
            "global",
            reference=REFERENCE,
            trained=TRAINED,
            layers=LAYERS,
            percents=(30,),
            seed=seed,
        )
        counts += drawn.ranking.first(0)
    # Standard deviation sqrt(2000 * 0.3 * 0.7) = 20.5; five of them either side.
    assert bool(((counts - 600).abs() < 103).all()), counts


def special_values() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(10_000, generator=generator)
    values[::7] = 0.0
    values[3::11] = -0.0
    values[5::13] = values[0]
    values[::997] = float("inf")
    values[1::997] = float("-inf")
    values[2::1999] = float("nan")
    values[3::1999] = -1e-42
    values[4::1999] = 1e-42
    return values


def test_sorting_agrees_with_a_stable_sort_of_python() -> None:
    values = special_values()
    listed = values.tolist()

    def key(index: int) -> tuple[float, int]:
        value = listed[index]
        return (float("-inf"), index) if value != value else (-value or 0.0, index)

    # NaN comes before infinity, hence the pair.
    expected = sorted(
        range(len(listed)), key=lambda index: (listed[index] == listed[index], *key(index))
    )
    counts = [0, 1, 17, 500, 2_500, 4_999, 9_999, 10_000]
    found = rank_by_sorting(values, counts)
    for position, count in enumerate(counts):
        chosen = found.first(position).nonzero().flatten().tolist()
        assert chosen == sorted(expected[:count]), count


def test_both_ways_to_rank_agree_on_magnitudes() -> None:
    values = special_values().abs()
    values = values[~torch.isnan(values)]
    counts = [0, 3, 100, 4_000, len(values)]
    by_histogram = rank_magnitudes(values.view(torch.int32), counts)
    by_sorting = rank_by_sorting(values, counts)
    assert torch.equal(by_histogram.groups, by_sorting.groups)
    assert by_histogram.num_tied == by_sorting.num_tied


def test_an_increase_measured_by_its_magnitude_is_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rank_magnitude(values: Tensor, counts: Sequence[int]) -> Any:
        return rank_magnitudes(values.abs().view(torch.int32), counts)

    monkeypatch.setattr(reset_order, "rank_by_sorting", rank_magnitude)
    with pytest.raises(AssertionError):
        test_a_criterion_orders_by_its_value_and_then_by_index("magnitude_increase")
