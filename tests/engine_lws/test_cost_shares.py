"""The share of arithmetic that a policy takes, against hand computations and recorded values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.lws.spec import LwsSpec
from engine.models.layout import layout
from engine.models.spec import ReluNetSpec, Vgg11Spec
from engine.training.cost_shares import expect_shares, list_chances
from engine.training.layer_schedule import draw_schedule
from engine.training.policies import (
    BottomQPolicy,
    FullPolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    RandomBetaPolicy,
    RandomUniformPolicy,
    TopKAllBottomsPolicy,
    TopKPolicy,
)

VGG11 = layout(Vgg11Spec(), BUILTIN_DATASETS["cifar10"])
EQUAL = tuple(
    replace(layer, forward_flops=1)
    for layer in layout(ReluNetSpec(depth=3), BUILTIN_DATASETS["digits"])
)
"""Four layers of one FLOP: vanilla SGD takes 4 forward and 7 backward."""


@pytest.mark.parametrize(
    ("policy", "backward", "train"),
    [
        (FullPolicy(), 7, 11),
        (TopKPolicy(k=1), 1, 2),
        (TopKPolicy(k=2), 3, 5),
        (BottomQPolicy(q=1), 4, 8),
        (TopKAllBottomsPolicy(k=1, rho=0.5), 4, 4 + 0.75 * 4 + 0.25 * 1),
    ],
)
def test_shares_match_a_hand_computation(policy: PolicySpec, backward: float, train: float) -> None:
    shares = expect_shares(policy, EQUAL, 10**6, keeps_prefix=True)
    assert shares.backward == pytest.approx(backward / 7)
    assert shares.train == pytest.approx(train / 11, abs=1e-5)


def test_the_first_epoch_starts_at_the_images() -> None:
    shares = expect_shares(TopKPolicy(k=1), EQUAL, 2, keeps_prefix=True)
    assert shares.train == pytest.approx((1 + (4 + 1) / 2) / 11)


@pytest.mark.parametrize(
    ("policy", "backward", "kept", "not_kept"),
    [
        (RandomUniformPolicy(), 0.380, 0.468, 0.588),
        (RandomBetaPolicy(), 0.082, 0.117, 0.389),
        (TopKAllBottomsPolicy(k=1, rho=0.1), 0.100, 0.130, 0.401),
        (TopKAllBottomsPolicy(k=4, rho=0.1), 0.131, 0.168, 0.422),
    ],
)
def test_shares_match_the_recorded_values(
    policy: PolicySpec, backward: float, kept: float, not_kept: float
) -> None:
    shares = [expect_shares(policy, VGG11, 10**6, keeps_prefix=keeps) for keeps in (True, False)]
    assert [one.backward for one in shares] == pytest.approx([backward] * 2, abs=6e-4)
    assert [one.train for one in shares] == pytest.approx([kept, not_kept], abs=6e-4)


@pytest.mark.parametrize(
    "policy", [RandomUniformPolicy(), RandomBetaPolicy(), ProbTopKBottomQPolicy(k=2, q=3, rho=0.3)]
)
def test_chances_match_the_drawn_schedules(policy: PolicySpec) -> None:
    drawn = draw_schedule(policy, 11, 10_000, seed=0).trained
    chances = list_chances(policy, 11)
    assert sum(chance for chance, _ in chances) == pytest.approx(1.0)
    for chance, layers in chances:
        # five standard deviations of a binomial count
        assert drawn.count(layers) / 10_000 == pytest.approx(
            chance, abs=5 * (chance * (1 - chance) / 10_000) ** 0.5
        )
    assert set(drawn) <= {layers for _, layers in chances}


def test_the_share_is_that_of_the_images_of_the_data_set_also_of_a_registered_one() -> None:
    """The first layer's share of the arithmetic grows with the images."""
    large = replace(BUILTIN_DATASETS["cifar10"], name="mine")
    policy = TopKPolicy(k=1)
    data = {"name": "mine"}
    spec = LwsSpec.model_validate({"data": data, "policy": policy.model_dump(), "epochs": 7})
    fractions = {}
    for info in (large, BUILTIN_DATASETS["digits"]):
        layers = layout(spec.model, info)
        fractions[info.name] = spec.work(info).train_fraction
        shares = expect_shares(policy, layers, 7, keeps_prefix=True)
        assert fractions[info.name] == shares.train
    assert fractions["mine"] < fractions["digits"]
    built_in = LwsSpec.model_validate({**spec.model_dump(), "data": {"name": "cifar10"}})
    assert estimate(spec, 2, large) == estimate(built_in, 2, BUILTIN_DATASETS["cifar10"])


def test_the_cost_of_a_sparse_training_is_its_share_of_the_full_cost() -> None:
    spec = {"model": {"name": "vgg11"}, "data": {"name": "cifar10"}, "epochs": 100}
    full, sparse = (
        estimate(LwsSpec.model_validate({**spec, "policy": policy}), 5, BUILTIN_DATASETS["cifar10"])
        for policy in ({"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1})
    )
    # 0.1301 in the long run; in the first of 100 epochs also 0.81 of a forward pass, which is a
    # third of a training step
    assert sparse.train_flops / full.train_flops == pytest.approx(
        0.1301 + 0.81 / 2.988 / 100, abs=1e-4
    )
