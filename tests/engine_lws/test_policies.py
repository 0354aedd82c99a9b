"""What each policy draws, and the errors of a policy that does not fit the net."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic import TypeAdapter

from engine.errors import InvalidSpec
from engine.experiments.lws.spec import LwsSpec
from engine.experiments.registry import parse_spec
from engine.experiments.train.spec import TrainSpec
from engine.models.layout import count_planned_layers
from engine.models.spec import (
    ConvNetSpec,
    ModelSpec,
    ReluNetSpec,
    Resnet18Spec,
    Vgg5Spec,
    Vgg11Spec,
)
from engine.spec import Execution
from engine.training.cost_shares import list_chances
from engine.training.layer_schedule import EpochSchedule, draw_schedule
from engine.training.policies import (
    FullPolicy,
    PolicySpec,
    RandomBetaPolicy,
    RandomUniformPolicy,
    TopKAllBottomsPolicy,
    family_of,
    title_of,
)


def policy(**fields: object) -> PolicySpec:
    return TypeAdapter(PolicySpec).validate_python(fields)


@pytest.mark.parametrize(
    ("requested", "trained"),
    [
        ({"name": "full"}, {0, 1, 2, 3, 4}),
        ({"name": "top_k", "k": 2}, {3, 4}),
        ({"name": "bottom_q", "q": 2}, {0, 1}),
        ({"name": "top_k_bottom_q", "k": 1, "q": 2}, {0, 1, 4}),
        ({"name": "top_k_bottom_q", "k": 4, "q": 4}, {0, 1, 2, 3, 4}),
        ({"name": "middle"}, {1, 2, 3}),
    ],
)
def test_a_static_policy_trains_the_same_layers_in_every_epoch(
    requested: dict[str, Any], trained: set[int]
) -> None:
    schedule = draw_schedule(policy(**requested), 5, 3, seed=0)
    assert schedule.trained == (frozenset(trained),) * 3


def test_a_probabilistic_policy_always_trains_the_top_and_sometimes_the_bottom() -> None:
    schedule = draw_schedule(policy(name="prob_top_k_bottom_q", k=1, q=2, rho=0.3), 6, 2000, seed=1)
    counts = Counter(schedule.trained)
    assert counts.keys() == {frozenset({5}), frozenset({0, 1, 5})}
    assert 0.25 < counts[frozenset({0, 1, 5})] / 2000 < 0.35


def test_the_sequences_of_a_seed_are_pinned() -> None:
    """A change of these requires a higher TRAINING_VERSION: stored weights were trained by them."""

    def lowest(drawn: PolicySpec, seed: int) -> list[int]:
        schedule = draw_schedule(drawn, 11, 20, seed)
        return [schedule.lowest(epoch) for epoch in range(20)]

    assert lowest(TopKAllBottomsPolicy(k=1, rho=0.5), 0) == PINNED_HALF
    assert lowest(RandomUniformPolicy(), 0) == PINNED_UNIFORM
    assert lowest(RandomBetaPolicy(), 0) == PINNED_BETA
    assert lowest(RandomUniformPolicy(), 1) == PINNED_UNIFORM_1


PINNED_HALF = [0, 10, 10, 0, 10, 10, 0, 10, 10, 10, 10, 10, 0, 0, 10, 10, 0, 10, 10, 0]
PINNED_UNIFORM = [6, 1, 1, 7, 0, 1, 8, 3, 3, 3, 4, 2, 5, 6, 3, 4, 8, 2, 0, 8]
PINNED_BETA = [8, 9, 7, 5, 7, 7, 9, 10, 10, 8, 8, 8, 8, 10, 7, 7, 8, 4, 9, 8]
PINNED_UNIFORM_1 = [0, 7, 4, 6, 3, 3, 10, 8, 7, 0, 4, 0, 10, 2, 1, 7, 9, 4, 4, 10]


def test_an_epoch_that_trains_the_bottom_at_a_small_rho_does_so_at_every_larger_one() -> None:
    rare = draw_schedule(TopKAllBottomsPolicy(k=1, rho=0.1), 5, 200, seed=3)
    often = draw_schedule(TopKAllBottomsPolicy(k=2, rho=0.4), 5, 200, seed=3)
    assert all(often.lowest(epoch) == 0 for epoch in range(200) if rare.lowest(epoch) == 0)


def test_random_uniform_draws_every_k_alike() -> None:
    counts = draw_schedule(RandomUniformPolicy(), 5, 5000, seed=0).count_epochs_by_lowest_layer()
    assert all(900 < count < 1100 for count in counts)


def test_random_beta_favours_the_top() -> None:
    counts = draw_schedule(RandomBetaPolicy(), 11, 2000, seed=0).count_epochs_by_lowest_layer()
    # k = 1 + 10 b, so its mean is 1 + 10 * 2/7 = 3.86; the lowest layer is 11 - k.
    mean_k = sum((11 - layer) * count for layer, count in enumerate(counts)) / 2000
    assert mean_k == pytest.approx(3.86, abs=0.1)


def test_counts_by_lowest_layer_match_a_hand_computation() -> None:
    every, top = frozenset({0, 1, 2}), frozenset({2})
    schedule = EpochSchedule(3, (every, top, top, every, frozenset({1, 2})))
    assert schedule.count_epochs_by_lowest_layer() == (2, 1, 2)
    assert schedule.to_json()["trained_layers"] == [[0, 1, 2], [2], [2], [0, 1, 2], [1, 2]]


def test_names_are_the_papers() -> None:
    assert title_of(TopKAllBottomsPolicy(k=4, rho=0.1)) == "Top 4 All Bottoms (rho = 0.1)"
    assert family_of(TopKAllBottomsPolicy(k=4, rho=0.1)) == "Top 4 All Bottoms"
    assert title_of(RandomBetaPolicy(alpha=1.0, beta=3.0)) == "Random-Beta(1, 3)"


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (ReluNetSpec(depth=3), 4),
        (ConvNetSpec(depth=2), 3),
        (Vgg5Spec(), 5),
        (Vgg11Spec(), 11),
        (Resnet18Spec(), 10),
    ],
)
def test_layers_are_counted_as_the_paper_does(model: ModelSpec, layers: int) -> None:
    assert count_planned_layers(model) == layers


@pytest.mark.parametrize(
    ("requested", "pointers"),
    [
        ({"name": "top_k", "k": 6}, {"#/spec/policy/k"}),
        ({"name": "top_k_bottom_q", "k": 7, "q": 6}, {"#/spec/policy/k", "#/spec/policy/q"}),
        ({"name": "top_k", "k": 0}, {"#/spec/policy/k"}),
        ({"name": "top_k_all_bottoms", "rho": 1.5}, {"#/spec/policy/rho"}),
        ({"name": "top_k", "q": 1}, {"#/spec/policy/q"}),
    ],
)
def test_a_policy_too_large_for_the_net_is_an_error_at_its_field(
    requested: dict[str, Any], pointers: set[str]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "lws", "model": {"name": "vgg5"}, "policy": requested})
    assert {error.pointer for error in caught.value.errors} == pointers


def test_a_net_of_two_layers_has_no_middle() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "lws", "model": {"name": "relu_net"}, "policy": {"name": "middle"}})
    assert caught.value.errors[0].pointer == "#/spec/policy/name"


def test_full_is_the_training_of_the_kind_train_and_no_other_policy_is() -> None:
    execution, model = Execution(device="cpu"), ConvNetSpec()
    plain = TrainSpec(model=model).training_digest(0, execution, "data")
    assert LwsSpec(model=model, policy=FullPolicy()).training_digest(0, execution, "data") == plain
    assert LwsSpec(model=model).training_digest(0, execution, "data") != plain


def test_relu_nets_train_stacked_in_the_kind_train_and_one_by_one_in_lws() -> None:
    execution = Execution(device="cpu")
    stacked = TrainSpec().training_digest(0, execution, "data")
    assert LwsSpec(policy=FullPolicy()).training_digest(0, execution, "data") != stacked


def test_the_cache_is_not_part_of_a_trainings_identity() -> None:
    spec = LwsSpec()
    one, other = (
        spec.training_digest(0, Execution(prefix_cache=used), "data") for used in (True, False)
    )
    assert one == other


@pytest.mark.parametrize("alpha", [2.3e-308, 1e-3, 2.0, 100.0])
@pytest.mark.parametrize("beta", [2.3e-308, 1e-3, 5.0, 100.0])
def test_the_chances_of_every_valid_beta_distribution_add_up_to_one(
    alpha: float, beta: float
) -> None:
    chances = [chance for chance, _ in list_chances(RandomBetaPolicy(alpha=alpha, beta=beta), 11)]
    assert sum(chances) == pytest.approx(1.0)
    assert all(0 < chance <= 1 for chance in chances)
