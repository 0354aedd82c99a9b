"""Properties of layer-wise sparse SGD hold exactly, and mutations of the engine violate them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.lws import run as run_module
from engine.experiments.lws.spec import LwsSpec
from engine.training.layer_schedule import EpochSchedule, LayerSchedule, draw_schedule
from engine.training.losses import AutogradLoss, Loss
from engine.training.module_learner import ModuleLearner
from engine.training.plan import build_learner
from engine.training.policies import PolicySpec
from engine.training.prefix_cache import _KeptLevels
from engine.training.train_step import ComputeLoss
from tests.engine_lws.runner import Runner, SpecMaker

SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
ADAM = {"name": "adam", "weight_decay": 0.01}
ALWAYS = {"name": "top_k_all_bottoms", "k": 1, "rho": 1.0}
NEVER = {"name": "top_k_all_bottoms", "k": 1, "rho": 0.0}
Patch = pytest.MonkeyPatch


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def weights(
    runner: Runner, spec: LwsSpec, name: str = "theta_T", **settings: Any
) -> dict[str, Tensor]:
    _, ctx = runner.run(spec, **settings)
    return runner.theta(ctx, name)


def rho_one_is_vanilla(runner: Runner, make_spec: SpecMaker) -> bool:
    full, always = (make_spec(policy=policy) for policy in ({"name": "full"}, ALWAYS))
    return equal(weights(runner, full), weights(runner, always))


def rho_zero_is_static(runner: Runner, make_spec: SpecMaker) -> bool:
    static, never = (make_spec(policy=policy) for policy in ({"name": "top_k", "k": 1}, NEVER))
    return equal(weights(runner, static), weights(runner, never))


def frozen_layers_stay(runner: Runner, make_spec: SpecMaker) -> bool:
    spec = make_spec(policy={"name": "middle"}, optimizer=SGD)
    _, ctx = runner.run(spec)
    before, after = runner.theta(ctx, "theta_0"), runner.theta(ctx)
    frozen = [name for name in before if not name.startswith("layers.1.")]
    return all(torch.equal(before[name], after[name]) for name in frozen)


def moments_do_not_change(runner: Runner, make_spec: SpecMaker) -> bool:
    """Momentum of SGD, moments and steps of Adam: as they were while their layer was frozen."""
    return all(
        _moments_do_not_change(runner, make_spec(optimizer=optimizer)) for optimizer in (SGD, ADAM)
    )


def _moments_do_not_change(runner: Runner, spec: LwsSpec) -> bool:
    ctx = runner.context()
    every, top = frozenset({0, 1, 2}), frozenset({2})
    with deterministic(True, 1, allow_tf32=False):
        data = resident_data(spec.data, torch.device("cpu"), ctx)
        learner = build_learner(spec, data, [0], ctx, EpochSchedule(3, (every, top)))
        states = []
        for epoch, trained in enumerate((every, top), start=1):
            learner.begin_epoch(epoch, trained)
            for step in range(learner.num_steps):
                learner.train_step(step)
            states.append(learner.capture())
    moments = {name for name in states[0] if name.startswith("optimizer.")}
    frozen = {
        name for name in moments if int(name.split(".")[1]) < 4
    }  # two tensors per layer, those of the top layer last
    assert frozen
    assert frozen < moments
    assert not equal({name: states[0][name] for name in moments - frozen}, states[1])
    return equal({name: states[0][name] for name in frozen}, states[1])


def the_stored_schedule_is_used(runner: Runner, make_spec: SpecMaker) -> bool:
    used: list[list[int]] = []
    with Patch.context() as patch:
        patch.setattr(ModuleLearner, "train_step", _noting_trained(used, ModuleLearner.train_step))
        _, ctx = runner.run(make_spec(policy={"name": "random_uniform"}, epochs=6))
    artifact = ctx.read_artifact(0, "schedule.json")
    assert artifact is not None
    stored: list[list[int]] = json.loads(artifact)["trained_layers"]
    assert len({tuple(layers) for layers in stored}) > 1
    return used[:: len(used) // 6] == stored


def _noting_trained(used: list[list[int]], train_step: Callable[..., None]) -> Callable[..., None]:
    def step(learner: ModuleLearner, number: int) -> None:
        layers = enumerate(learner._net.layers)
        used.append(
            [index for index, layer in layers if all(p.requires_grad for p in layer.parameters())]
        )
        train_step(learner, number)

    return step


def the_cache_changes_no_bit(runner: Runner, make_spec: SpecMaker) -> bool:
    # Epochs 0 and 3 train the whole net, the others the top: what 1 keeps is wrong from 3 on.
    spec = make_spec(policy={"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}, epochs=6)
    return equal(weights(runner, spec), weights(runner, spec, prefix_cache=False))


def no_unused_gradient_is_computed(runner: Runner, make_spec: SpecMaker) -> bool:
    """Backward reaches only the trained layers' tensors, and no convolution below the lowest."""
    graphs: list[tuple[set[int], set[int], int, int]] = []
    with Patch.context() as patch:
        patch.setattr(
            ModuleLearner, "_build_loss", _noting_graph(graphs, ModuleLearner._build_loss)
        )
        for policy in ({"name": "top_k", "k": 2}, {"name": "bottom_q", "q": 1}, {"name": "middle"}):
            runner.run(make_spec(policy=policy, epochs=1))
    assert graphs
    return all(reached == trained and convs == above for reached, trained, convs, above in graphs)


def _noting_graph(
    graphs: list[Any], compute_loss: Callable[..., ComputeLoss]
) -> Callable[..., ComputeLoss]:
    def noting(learner: ModuleLearner) -> ComputeLoss:
        compute = compute_loss(learner)

        def note(x: Tensor, y: Tensor) -> Loss:
            loss = compute(x, y)
            assert isinstance(loss, AutogradLoss), "each policy here trains a convolution"
            leaves, convs = _walk(loss._loss)
            trained = _layers_of_epoch(learner)
            wanted = {id(p) for layer in trained for p in learner._net.parameters_of_layer(layer)}
            above = sum(
                isinstance(module, nn.Conv2d)
                for layer in range(min(trained), len(learner._net.layers))
                for module in learner._net.layers[layer].modules()
            )
            graphs.append((leaves, wanted, convs, above))
            return loss

        return note

    return noting


def _layers_of_epoch(learner: ModuleLearner) -> frozenset[int]:
    policy = learner._spec.policy  # type: ignore[attr-defined]
    return draw_schedule(policy, len(learner._net.layers), 1, seed=0).at(0, 0)


def _walk(logits: Tensor) -> tuple[set[int], int]:
    """(ids of the tensors that backward would give a gradient, convolutions it would run)."""
    leaves, convs, seen, todo = set(), 0, set(), [logits.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        convs += "Convolution" in node.name()
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        todo += [following for following, _ in node.next_functions]
    return leaves, convs


def skip_an_epoch(patch: Patch) -> None:
    """One epoch of a drawn schedule trains other layers than it should."""

    def draw(
        policy: PolicySpec, num_layers: int, epochs: int, seed: int, *others: Any
    ) -> LayerSchedule:
        right = draw_schedule(policy, num_layers, epochs, seed, *others)
        if "rho" not in type(policy).model_fields:
            return right
        every, top = frozenset(range(num_layers)), frozenset({num_layers - 1})
        return EpochSchedule(
            num_layers, (*right.trained[:-1], top if right.trained[-1] == every else every)
        )

    patch.setattr(run_module, "draw_schedule", draw)


def freeze_nothing(patch: Patch) -> None:
    right = ModuleLearner._freeze_all_but
    patch.setattr(ModuleLearner, "_freeze_all_but", lambda learner, trained: right(learner, None))


def zero_in_place_of_no_gradient(patch: Patch) -> None:
    """Frozen tensors have a gradient of zero: weight decay and old momentum move them."""
    right = ModuleLearner.begin_epoch

    def begin(learner: ModuleLearner, epoch: int, trained: frozenset[int] | None) -> None:
        right(learner, epoch, trained)
        optimizer = learner._optimizer
        step = type(optimizer).step

        def step_all() -> None:
            for parameter in learner._net.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            step(optimizer)

        optimizer.step = step_all  # type: ignore[assignment, method-assign]

    patch.setattr(ModuleLearner, "begin_epoch", begin)


def keep_stale_activations(patch: Patch) -> None:
    """Cached activations are read after the layers below them have moved."""

    def begin(levels: _KeptLevels, epoch: int, lowest: int) -> None:
        levels._now = epoch + 1

    patch.setattr(_KeptLevels, "begin", begin)


def compute_all_and_drop(patch: Patch) -> None:
    """Every gradient is computed, and those of frozen layers dropped."""
    right = ModuleLearner._freeze_all_but

    def freeze(learner: ModuleLearner, trained: frozenset[int] | None) -> None:
        right(learner, trained)
        for parameter in learner._net.parameters():
            parameter.requires_grad_(True)
        learner._lowest = 0

    patch.setattr(ModuleLearner, "_freeze_all_but", freeze)


Property = Callable[..., bool]
Mutation = Callable[[Patch], None]
DETECTED: tuple[tuple[Property, Mutation], ...] = (
    (rho_one_is_vanilla, skip_an_epoch),
    (rho_zero_is_static, skip_an_epoch),
    (frozen_layers_stay, freeze_nothing),
    (frozen_layers_stay, zero_in_place_of_no_gradient),
    (moments_do_not_change, zero_in_place_of_no_gradient),
    (the_stored_schedule_is_used, freeze_nothing),
    (the_cache_changes_no_bit, keep_stale_activations),
    (no_unused_gradient_is_computed, compute_all_and_drop),
)


@pytest.mark.parametrize(
    "holds", dict.fromkeys(holds for holds, _ in DETECTED), ids=lambda holds: holds.__name__
)
def test_the_engine_has_the_property(runner: Runner, make_spec: SpecMaker, holds: Property) -> None:
    assert holds(runner, make_spec)


@pytest.mark.parametrize(
    ("holds", "mutate"),
    DETECTED,
    ids=[f"{holds.__name__}-{mutate.__name__}" for holds, mutate in DETECTED],
)
def test_a_mutated_engine_violates_the_property(
    runner: Runner,
    make_spec: SpecMaker,
    monkeypatch: pytest.MonkeyPatch,
    holds: Property,
    mutate: Mutation,
) -> None:
    mutate(monkeypatch)
    try:
        still_holds = holds(runner, make_spec)
    except RuntimeError:  # tensors of shapes that do not fit
        still_holds = False
    assert not still_holds
