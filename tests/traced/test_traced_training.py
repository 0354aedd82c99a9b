"""Layer-wise training of traced nets, bit for bit: full, frozen layers, the cache, resume."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.lws.spec import LwsSpec
from engine.experiments.registry import parse_spec
from engine.models.build import build_model, initialise
from engine.models.local_host import LocalHost
from engine.models.spec import HeSpec, InitSpec, TorchInitSpec, XavierSpec
from tests.engine_lws.runner import Runner

NETS: dict[str, dict[str, Any]] = {
    "residual": {"name": "residual"},
    "without_dropout": {"name": "residual", "dropout": 0.0},
    "transformer": {"name": "transformer"},
    "linear": {"name": "linear", "widths": [12, 10]},
    "moved": {"name": "moved"},
}
LARGE = {
    name: {"name": "torchvision", "architecture": name, "stem": "small"}
    for name in ("resnet18", "convnext_tiny", "vit_b_16", "swin_t")
}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}


def make_spec(model: dict[str, Any], **parts: Any) -> LwsSpec:
    body = {
        "kind": "lws",
        "data": {"name": "digits", "train_size": 150, "test_size": 60},
        "model": model,
        "batch_size": 64,
        "epochs": 4,
        "optimizer": SGD,
        **parts,
    }
    return cast(LwsSpec, parse_spec(body))


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def large(names: dict[str, Any]) -> list[Any]:
    return [
        *names,
        *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE),
    ]


def net_of(name: str) -> dict[str, Any]:
    return {**NETS, **LARGE}[name]


def parts_of(name: str) -> dict[str, Any]:
    if name in NETS:
        return {"optimizer": {"name": "adam"}} if name == "moved" else {}
    return {
        "data": {"name": "digits", "train_size": 20, "test_size": 10},
        "batch_size": 8,
        "epochs": 3,
    }


@pytest.mark.parametrize("frozen_layers", ["train", "eval"])
@pytest.mark.parametrize("name", large(NETS))
def test_rho_one_is_full_bit_for_bit(
    host: LocalHost, runner: Runner, name: str, frozen_layers: str
) -> None:
    always = {"name": "top_k_all_bottoms", "k": 1, "rho": 1.0}
    parts = {**parts_of(name), "frozen_layers": frozen_layers}
    _, full = runner.run(make_spec(net_of(name), policy={"name": "full"}, **parts))
    _, sparse = runner.run(make_spec(net_of(name), policy=always, **parts))
    assert_equal(runner.theta(full), runner.theta(sparse))
    assert full.metrics() == sparse.metrics()


@pytest.mark.parametrize("frozen_layers", ["train", "eval"])
@pytest.mark.parametrize("name", large(NETS))
def test_the_cache_changes_no_bit(
    host: LocalHost, runner: Runner, name: str, frozen_layers: str
) -> None:
    parts = {**parts_of(name), "frozen_layers": frozen_layers}
    for policy in (
        {"name": "top_k", "k": 1},
        {"name": "top_k_all_bottoms", "k": 2, "rho": 0.5},
        {"name": "top_k_bottom_q", "k": 1, "q": 1},
    ):
        spec = make_spec(net_of(name), policy=policy, **parts)
        _, cached = runner.run(spec)
        _, plain = runner.run(spec, prefix_cache=False)
        assert_equal(runner.theta(cached), runner.theta(plain))
        assert cached.metrics() == plain.metrics()


@pytest.mark.parametrize(
    ("name", "frozen_layers", "is_used"),
    [
        ("residual", "train", True),  # below the first batch normalisation
        ("residual", "eval", True),
        ("transformer", "train", True),
    ],
)
def test_the_cache_is_used_where_activations_are_constant(
    host: LocalHost, runner: Runner, name: str, frozen_layers: str, is_used: bool
) -> None:
    spec = make_spec(net_of(name), policy={"name": "top_k", "k": 1}, frozen_layers=frozen_layers)
    (result,), _ = runner.run(spec)
    assert (result.timings.cache_seconds > 0) == is_used
    assert bool(result.notes) == (frozen_layers == "train" and name == "residual")


@pytest.mark.parametrize("frozen_layers", ["train", "eval"])
@pytest.mark.parametrize("name", NETS)
def test_a_training_resumed_at_any_step_has_equal_bits(
    host: LocalHost, runner: Runner, name: str, frozen_layers: str
) -> None:
    policy = {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}
    spec = make_spec(net_of(name), policy=policy, frozen_layers=frozen_layers, **parts_of(name))
    _, whole = runner.run(spec)
    for stop_before in (1, 2, 5, 7):
        _, resumed = runner.run(spec, stop_before=stop_before)
        assert_equal(runner.theta(whole), runner.theta(resumed))
        assert whole.metrics() == resumed.metrics()


def test_frozen_layers_in_evaluation_keep_their_statistics(host: LocalHost, runner: Runner) -> None:
    changed = {}
    for mode in ("train", "eval"):
        policy = {"name": "top_k", "k": 1}
        spec = make_spec(NETS["residual"], policy=policy, frozen_layers=mode)
        _, ctx = runner.run(spec)
        before, after = runner.theta(ctx, "theta_0"), runner.theta(ctx)
        changed[mode] = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed["eval"] == {"layers.3.5.weight", "layers.3.5.bias"}
    assert changed["train"] - changed["eval"] == {
        f"layers.{layer}.{layer + (layer > 1)}.norm.{leaf}"
        for layer in (1, 2)
        for leaf in ("running_mean", "running_var", "num_batches_tracked")
    }


def draw(model: dict[str, Any], init: InitSpec, seed: int) -> dict[str, torch.Tensor]:
    spec = make_spec(model)
    net = build_model(spec.model, BUILTIN_DATASETS["digits"])
    initialise(
        net,
        init,
        seed,
        read_checkpoint=lambda _: b"",
        weights_dir=cast(Any, None),
        allow_download=False,
    )
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("init", [XavierSpec(), HeSpec(), TorchInitSpec()])
def test_start_weights_are_a_function_of_the_seed(host: LocalHost, init: InitSpec) -> None:
    first, again, other = (draw(NETS["transformer"], init, seed) for seed in (3, 3, 4))
    assert_equal(first, again)
    assert not torch.equal(first["layers.0.stem.weight"], other["layers.0.stem.weight"])
    assert not torch.equal(first["layers.1.first"], other["layers.1.first"])


def test_an_initialisation_draws_matrices_and_leaves_the_rest_to_the_author(
    host: LocalHost,
) -> None:
    own, drawn = (draw(NETS["transformer"], init, 3) for init in (TorchInitSpec(), XavierSpec()))
    kept = {name for name in own if torch.equal(own[name], drawn[name])}
    assert "layers.1.first" in kept
    assert {name for name in own if "norm" in name} <= kept
    assert not {name for name in kept if name.endswith(("proj_weight", "top.weight"))}
    assert not drawn["layers.0.stem.bias"].any()
    scale = drawn["layers.2.blocks.0.attention.in_proj_weight"].std()
    assert scale == pytest.approx((2 / (24 + 8)) ** 0.5, rel=0.2)
