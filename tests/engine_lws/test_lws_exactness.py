"""Layer-wise sparse SGD, bit for bit: equal trainings, frozen layers, the frozen-prefix cache."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from engine.experiments.lws.run import run
from engine.training.module_learner import ModuleLearner
from tests.engine_lws.runner import Runner, SpecMaker

MODELS: dict[str, dict[str, Any]] = {
    "relu_net": {"name": "relu_net", "width": 32, "depth": 3},
    "narrow_relu_net": {"name": "relu_net", "width": 10, "depth": 2},
    "conv_net": {"name": "conv_net", "width": 6, "depth": 3},
    "vgg5": {"name": "vgg5", "width_multiplier": 0.1},
    "vgg11": {"name": "vgg11", "width_multiplier": 0.03},
}
POLICIES: dict[str, dict[str, Any]] = {
    "top_k": {"name": "top_k", "k": 1},
    "bottom_q": {"name": "bottom_q", "q": 2},
    "top_k_bottom_q": {"name": "top_k_bottom_q", "k": 1, "q": 1},
    "middle": {"name": "middle"},
    "prob_top_k_bottom_q": {"name": "prob_top_k_bottom_q", "k": 1, "q": 1, "rho": 0.4},
    "top_k_all_bottoms": {"name": "top_k_all_bottoms", "k": 2, "rho": 0.5},
    "random_uniform": {"name": "random_uniform"},
    "random_beta": {"name": "random_beta"},
}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


@pytest.mark.parametrize("model", ["relu_net", "conv_net", "vgg5"])
def test_rho_one_is_vanilla_sgd_bit_for_bit(
    runner: Runner, make_spec: SpecMaker, model: str
) -> None:
    always = {"name": "top_k_all_bottoms", "k": 1, "rho": 1.0}
    _, full = runner.run(make_spec(model=MODELS[model], policy={"name": "full"}))
    _, sparse = runner.run(make_spec(model=MODELS[model], policy=always))
    assert_equal(runner.theta(full), runner.theta(sparse))
    assert full.metrics() == sparse.metrics()


@pytest.mark.parametrize("model", ["relu_net", "conv_net", "vgg5"])
def test_rho_zero_is_static_top_k_bit_for_bit(
    runner: Runner, make_spec: SpecMaker, model: str
) -> None:
    for never in (
        {"name": "top_k_all_bottoms", "k": 2, "rho": 0.0},
        {"name": "prob_top_k_bottom_q", "k": 2, "q": 1, "rho": 0.0},
    ):
        _, static = runner.run(make_spec(model=MODELS[model], policy={"name": "top_k", "k": 2}))
        _, sparse = runner.run(make_spec(model=MODELS[model], policy=never))
        assert_equal(runner.theta(static), runner.theta(sparse))
        assert static.metrics() == sparse.metrics()


@pytest.mark.parametrize("optimizer", [{"name": "adam", "weight_decay": 0.01}, SGD])
def test_a_frozen_layer_never_moves(
    runner: Runner, make_spec: SpecMaker, optimizer: dict[str, Any]
) -> None:
    spec = make_spec(policy={"name": "middle"}, model=MODELS["conv_net"], optimizer=optimizer)
    _, ctx = runner.run(spec)
    before, after = runner.theta(ctx, "theta_0"), runner.theta(ctx)
    for name in before:
        frozen = name.startswith(("layers.0.", "layers.3."))
        assert torch.equal(before[name], after[name]) == frozen, name


@pytest.mark.parametrize(
    ("model", "num_threads"),
    [
        *((model, 1) for model in MODELS),
        *((model, 2) for model in ("relu_net", "narrow_relu_net")),
        *(
            pytest.param(model, 2, marks=pytest.mark.slow)
            for model in ("conv_net", "vgg5", "vgg11")
        ),
    ],
)
def test_the_cache_changes_no_bit(
    runner: Runner, make_spec: SpecMaker, model: str, num_threads: int
) -> None:
    # 300 images in batches of 64: the last batch has 44 rows; frozen layers pad it to 64.
    for policy in POLICIES.values():
        spec = make_spec(model=MODELS[model], policy=policy, optimizer=SGD, epochs=6)
        _, cached = runner.run(spec, threads=num_threads)
        _, plain = runner.run(spec, threads=num_threads, prefix_cache=False)
        assert_equal(runner.theta(cached), runner.theta(plain))
        assert cached.metrics() == plain.metrics()


@pytest.mark.parametrize("train_size", [250, 330, 60])
def test_the_cache_changes_no_bit_whatever_the_last_batch(
    runner: Runner, make_spec: SpecMaker, train_size: int
) -> None:
    # 330 = 5 * 64 + 10: the last batch has 74 rows. 60: one batch, smaller than `batch_size`.
    data = {"name": "digits", "train_size": train_size, "test_size": 130}
    spec = make_spec(
        data=data, model=MODELS["vgg5"], policy=POLICIES["top_k_all_bottoms"], epochs=6
    )
    _, cached = runner.run(spec)
    _, plain = runner.run(spec, prefix_cache=False)
    assert_equal(runner.theta(cached), runner.theta(plain))
    assert cached.metrics() == plain.metrics()


@pytest.mark.parametrize("policy", ["top_k_all_bottoms", "random_uniform"])
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_an_interrupted_training_ends_with_equal_bits(
    runner: Runner, make_spec: SpecMaker, policy: str, prefix_cache: bool
) -> None:
    spec = make_spec(model=MODELS["conv_net"], policy=POLICIES[policy], epochs=6)
    _, whole = runner.run(spec)
    for stop_before in (1, 8, 13, 16, 28):
        _, resumed = runner.run(spec, stop_before=stop_before, prefix_cache=prefix_cache)
        assert_equal(runner.theta(whole), runner.theta(resumed))
        assert whole.metrics() == resumed.metrics()


def test_the_cache_is_used(runner: Runner, make_spec: SpecMaker) -> None:
    spec = make_spec(model=MODELS["conv_net"], policy={"name": "top_k", "k": 1}, epochs=3)
    cached, _ = runner.run(spec)
    plain, _ = runner.run(spec, prefix_cache=False)
    assert cached[0].timings.cache_seconds > 0
    assert plain[0].timings.cache_seconds == 0
    assert cached[0].notes == ()


def test_without_the_cache_frozen_layers_compute_in_every_epoch(
    runner: Runner, make_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits are equal; the cache saves the forward pass of the layers that do not train."""
    passes: Counter[str] = Counter()
    frozen_layer = ModuleLearner._run_frozen_layer

    def counted(learner: ModuleLearner, index: int, x: torch.Tensor) -> torch.Tensor:
        passes[name] += 1
        return frozen_layer(learner, index, x)

    monkeypatch.setattr(ModuleLearner, "_run_frozen_layer", counted)
    spec = make_spec(model=MODELS["vgg5"], policy={"name": "top_k", "k": 1}, epochs=5)
    contexts = {}
    for name, prefix_cache in (("cached", True), ("plain", False)):
        _, contexts[name] = runner.run(spec, prefix_cache=prefix_cache)
    assert_equal(runner.theta(contexts["cached"]), runner.theta(contexts["plain"]))
    assert passes["plain"] == 5 * passes["cached"]


def test_the_cache_is_not_used_where_activations_change_and_the_result_says_why(
    runner: Runner, make_spec: SpecMaker
) -> None:
    top = {"name": "top_k", "k": 1}
    normalised = {"name": "vgg5", "width_multiplier": 0.1, "batch_norm": True}
    seed_results, ctx = runner.run(make_spec(model=normalised, policy=top, epochs=2))
    _, plain = runner.run(make_spec(model=normalised, policy=top, epochs=2), prefix_cache=False)
    assert "batch normalisation" in seed_results[0].notes[0]
    assert seed_results[0].timings.cache_seconds == 0
    assert_equal(runner.theta(ctx), runner.theta(plain))

    data = {"name": "digits", "train_size": 300, "test_size": 100, "augmentation": "crop_flip"}
    seed_results, ctx = runner.run(make_spec(data=data, policy=top, epochs=3))
    _, plain = runner.run(make_spec(data=data, policy=top, epochs=3), prefix_cache=False)
    assert "augmentation" in seed_results[0].notes[0]
    assert seed_results[0].timings.cache_seconds == 0
    assert_equal(runner.theta(ctx), runner.theta(plain))
    assert ctx.metrics() == plain.metrics()


def test_two_seeds_draw_and_store_their_own_schedules(runner: Runner, make_spec: SpecMaker) -> None:
    spec = make_spec(policy={"name": "random_uniform"}, epochs=8)
    seed_results, ctx = runner.run(spec, seeds=(0, 1))
    kept = [ctx.read_artifact(seed, "schedule.json") for seed in (0, 1)]
    assert kept[0] != kept[1]
    assert [sum(seed_result.epochs_by_lowest_layer) for seed_result in seed_results] == [8, 8]
    assert all(len(seed_result.cumulative_backward_seconds) == 8 for seed_result in seed_results)


def test_a_finished_run_is_loaded_with_its_times(runner: Runner, make_spec: SpecMaker) -> None:
    spec = make_spec(epochs=2)
    seed_results, ctx = runner.run(spec, stop_before=7)
    again = run(spec, ctx)
    assert [seed_result.timings for seed_result in again] == [
        seed_result.timings for seed_result in seed_results
    ]
