"""Counts of whole trainings: their sums, after a kill, in a stack, and the gradient they count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.analysis.activity import ActivityCounter
from engine.analysis.fractions import count_of, percent_key
from engine.data.resident import resident_data
from engine.errors import RunInterrupted
from engine.experiments.activity_map import run as run_module
from engine.experiments.activity_map.maps import MAPS_FILE
from engine.models.build import build_model
from engine.models.weights import load_tensors
from engine.training.learner import Learner
from engine.training.loop import train
from tests.engine_activity.runner import Runner, SpecMaker

RELU = {"name": "relu_net", "width": 16, "depth": 2}
CONV = {"name": "conv_net", "width": 4, "depth": 2}
VGG = {"name": "vgg5", "width_multiplier": 0.05, "batch_norm": True}


def assert_equal_counts(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def sum_counts(counts: dict[str, Any], alpha: float) -> int:
    key = f"{percent_key(alpha)}/"
    return sum(
        int(array.sum(dtype=np.int64)) for name, array in counts.items() if name.startswith(key)
    )


@pytest.mark.parametrize("model", [RELU, CONV, VGG])
def test_counts_sum_to_the_active_set_s_size_times_the_epochs(
    runner: Runner, make_spec: SpecMaker, model: dict[str, Any]
) -> None:
    spec = make_spec(model=model, alphas_percent=[0.3, 1, 10, 30])
    (seed_result,), ctx = runner.run(spec)
    counts = runner.counts(ctx)
    p = sum(layer.parameters for layer in seed_result.layers)
    assert seed_result.num_epochs == spec.epochs == counts["epochs"]
    for alpha in spec.alphas_percent:
        assert sum_counts(counts, alpha) == count_of(alpha, p) * spec.epochs
        of_layers = sum(layer.active[percent_key(alpha)] for layer in seed_result.layers)
        assert of_layers == count_of(alpha, p) * spec.epochs


def test_exact_zeros_are_not_counted(runner: Runner, make_spec: SpecMaker) -> None:
    # A unit that is active for no image has no gradient: at 100 % all others are counted.
    spec = make_spec(alphas_percent=[30, 100])
    (seed_result,), ctx = runner.run(spec)
    counts = runner.counts(ctx)
    p = sum(layer.parameters for layer in seed_result.layers)
    assert seed_result.zeros > 0
    assert sum_counts(counts, 30) == count_of(30, p) * spec.epochs
    assert sum_counts(counts, 100) == p * spec.epochs - seed_result.zeros


def test_an_active_set_contains_those_of_smaller_alphas(
    runner: Runner, make_spec: SpecMaker
) -> None:
    _, ctx = runner.run(make_spec())
    counts = runner.counts(ctx)
    for name in (name.removeprefix("1/") for name in counts if name.startswith("1/")):
        assert (counts[f"1/{name}"] <= counts[f"10/{name}"]).all()
        assert (counts[f"10/{name}"] <= counts[f"30/{name}"]).all()


@pytest.mark.parametrize(("model", "stack"), [(RELU, True), (RELU, False), (CONV, False)])
def test_a_killed_and_resumed_run_gives_equal_counts(
    runner: Runner, make_spec: SpecMaker, model: dict[str, Any], stack: bool
) -> None:
    spec, seeds = make_spec(model=model), (0, 1)
    expected, whole = runner.run(spec, seeds, stack=stack)
    ctx = runner.context(seeds, stack=stack)
    ctx.every, attempts = 4, 0  # epochs have 5 steps: the kills fall on every step of an epoch
    while True:
        attempts += 1
        try:
            found = runner.seed_results(spec, ctx)
            break
        except RunInterrupted:
            continue
    assert attempts > 3
    for seed, ours, theirs in zip(seeds, found, expected, strict=True):
        assert_equal_counts(runner.counts(ctx, seed), runner.counts(whole, seed))
        assert ctx.read_artifact(seed, MAPS_FILE) == whole.read_artifact(seed, MAPS_FILE)
        assert (ours.layers, ours.tied, ours.zeros) == (theirs.layers, theirs.tied, theirs.zeros)


def test_seeds_stacked_give_the_counts_of_each_alone(runner: Runner, make_spec: SpecMaker) -> None:
    spec = make_spec()
    _, together = runner.run(spec, (0, 1, 2))
    for seed in (0, 1, 2):
        _, alone = runner.run(spec, (seed,))
        assert_equal_counts(runner.counts(together, seed), runner.counts(alone, seed))
    assert not np.array_equal(
        runner.counts(together, 0)["10/layers.1.linear.weight"],
        runner.counts(together, 1)["10/layers.1.linear.weight"],
    )


def test_equal_runs_give_equal_files(runner: Runner, make_spec: SpecMaker) -> None:
    _, one = runner.run(make_spec())
    _, other = runner.run(make_spec())
    for name in ("counts.npz", "maps.npz"):
        assert one.read_artifact(0, name) == other.read_artifact(0, name) is not None


class GradientKeeper:
    """An `EpochHook` that stores each epoch's full gradient and weights."""

    def __init__(self, *_: object) -> None:
        self.kept: list[tuple[torch.Tensor, dict[str, torch.Tensor]]] = []

    def __call__(self, learner: Learner, epoch: int) -> None:
        self.kept.append((learner.full_gradient(0), learner.parameters(0)))

    def capture(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, tensors: object) -> None:
        """Nothing was captured."""


@pytest.mark.parametrize(
    ("model", "stack"), [(RELU, True), (RELU, False), (CONV, False), (VGG, False)]
)
def test_the_full_gradient_is_autograd_s_of_the_mean_loss_over_the_train_set(
    runner: Runner, make_spec: SpecMaker, model: dict[str, Any], stack: bool
) -> None:
    spec, ctx, keeper = (
        make_spec(model=model, epochs=2),
        runner.context(stack=stack),
        GradientKeeper(),
    )
    train(spec, ctx, on_epoch_end=keeper)
    data = resident_data(spec.data, "cpu", ctx)
    for gradient, theta in keeper.kept:
        net = build_model(spec.model, data.info).double()
        net.load_state_dict({name: tensor.double() for name, tensor in theta.items()})
        net.eval()
        loss = functional.cross_entropy(net(data.x_train[:].double()), data.y_train)
        exact = torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss, list(net.parameters()))]
        )
        # float32 sums of 300 terms against float64: rounding is proportional to the largest
        # component, and larger where batch normalisation divides by small variances
        torch.testing.assert_close(
            gradient.double(), exact, rtol=0, atol=1e-5 * float(exact.abs().max())
        )


def test_the_gradient_is_taken_at_the_end_of_each_epoch(
    runner: Runner, make_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts from the gradients are equal; those of other epochs differ."""
    spec, keeper = make_spec(), GradientKeeper()
    _, ctx = runner.run(spec)
    counts = runner.counts(ctx)
    train(spec, runner.context(), on_epoch_end=keeper)
    gradients = [gradient for gradient, _ in keeper.kept]
    flat = np.concatenate([counts[name].reshape(-1) for name in counts if name.startswith("10/")])

    def recount(epochs: list[torch.Tensor]) -> np.ndarray[Any, Any]:
        counter = ActivityCounter((10.0,), spec.epochs)
        for gradient in epochs:
            counter.count(0, gradient)
        return counter.of(0).counts[0].numpy()

    assert len(gradients) == spec.epochs
    assert np.array_equal(flat, recount(gradients))
    assert not np.array_equal(flat, recount(gradients[:-1]))
    assert not np.array_equal(flat, recount([gradients[0], *gradients[:-1]]))
    last = load_tensors((ctx._folder / "theta_T-seed0.safetensors").read_bytes())
    assert all(torch.equal(keeper.kept[-1][1][name], tensor) for name, tensor in last.items())


def test_a_counter_that_loses_its_counts_when_resumed_is_detected(
    runner: Runner, make_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(ActivityCounter):
        def restore(self, tensors: object) -> None:
            self._seeds.clear()

    monkeypatch.setattr(run_module, "ActivityCounter", Forgetful)
    spec = make_spec()
    _, whole = runner.run(spec)
    ctx = runner.context()
    ctx.every = 7  # interrupts once, in the second epoch
    with pytest.raises(RunInterrupted):
        runner.seed_results(spec, ctx)
    ctx.every = None
    (seed_result,) = runner.seed_results(spec, ctx)
    assert seed_result.num_epochs == spec.epochs - 1
    with pytest.raises(AssertionError):
        assert_equal_counts(runner.counts(ctx), runner.counts(whole))


def test_in_a_dead_net_only_parameters_with_a_gradient_are_active(
    runner: Runner, make_spec: SpecMaker
) -> None:
    optimizer, init = {"name": "sgd", "lr": 100.0}, {"name": "xavier", "gain": 1000.0}
    (seed_result,), _ = runner.run(make_spec(optimizer=optimizer, init=init))
    bottom, middle, top = seed_result.layers
    p = bottom.parameters + middle.parameters + top.parameters
    assert seed_result.outcome == "at_chance"
    assert bottom.active["30"] == middle.active["30"] == 0
    assert top.active["30"] == 3 * p - seed_result.zeros < 3 * count_of(30, p)
