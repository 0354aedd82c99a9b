"""What is reset to, the control, and layers as a whole: against plain torch on the stored files."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.data.resident import resident_data
from engine.errors import RunInterrupted
from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.experiments.reinit_sweep.run import run
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.experiments.reinit_sweep.sweep import Sweep
from tests.engine_reinit.watched_context import ContextMaker, WatchedContext
from tests.engine_reinit.watched_context import Sweep as RunSweep

FRACTIONS = [0.0, 1.0, 20.0, 100.0]
BN_NET = {"name": "vgg5", "width_multiplier": 0.03, "batch_norm": True}
RESETS: dict[str, dict[str, Any]] = {
    "init": {"name": "init"},
    "epoch_1": {"name": "epoch", "epoch": 1},
    "step_2": {"name": "step", "step": 2},
    "fresh": {"name": "fresh"},
    "zero": {"name": "zero"},
}


def accuracy(theta: dict[str, Tensor], ctx: WatchedContext, spec: dict[str, Any]) -> float:
    """Of a ReLU-Net of one hidden layer, in plain torch."""
    data = resident_data(ReinitSweepSpec.model_validate(spec).data, "cpu", ctx)
    images = data.x_test[:].flatten(1)
    hidden = functional.relu(functional.linear(images, *_linear(theta, 0)))
    logits = functional.linear(hidden, *_linear(theta, 1))
    return int((logits.argmax(1) == data.y_test).sum()) / len(data.y_test)


def _linear(theta: dict[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    return theta[f"layers.{layer}.linear.weight"], theta[f"layers.{layer}.linear.bias"]


def curve(result: ReinitSeedResult, mode: str) -> tuple[float, ...]:
    return next(one.test_accuracy for one in result.curves if one.mode == mode)


def reset_target(ctx: WatchedContext, reset: str) -> dict[str, Tensor]:
    if reset == "zero":
        trained = ctx.theta("theta_T", 0)
        return {name: torch.zeros_like(value) for name, value in trained.items()}
    return ctx.theta("theta_0" if reset == "init" else reset, 0)


@pytest.mark.parametrize("reset", RESETS)
def test_everything_reset_gives_the_net_that_is_reset_to(
    sweep: RunSweep, make_spec: Any, reset: str
) -> None:
    parts = {"reset_to": RESETS[reset], "fractions_percent": FRACTIONS}
    parts["modes"] = ["active", "lazy", "random", "layer"]
    (result,), ctx = sweep(**parts)
    spec = make_spec(**parts)
    trained = ctx.theta("theta_T", 0)
    if reset == "fresh":
        drawn = curve(result, "active")[-1]
        assert drawn != result.initial_test_accuracy
    else:
        target = reset_target(ctx, reset)
        drawn = accuracy(target, ctx, spec)
    at_end = accuracy(trained, ctx, spec)
    assert curve(result, "active")[::3] == pytest.approx((at_end, drawn), abs=1e-9)
    assert curve(result, "random")[::3] == pytest.approx((at_end, drawn), abs=1e-9)
    assert curve(result, "lazy")[::3] == pytest.approx((drawn, at_end), abs=1e-9)
    if reset != "fresh":
        for layer in result.layers:
            mixed = {
                name: target[name] if name.startswith(f"{layer.name}.") else value
                for name, value in trained.items()
            }
            assert layer.test_accuracy == pytest.approx(accuracy(mixed, ctx, spec), abs=1e-9)
    assert [layer.name for layer in result.layers] == ["layers.0", "layers.1"]


@pytest.mark.parametrize(
    "scope", ["global", "per_layer", ["layers.0"], ["layers.1"], ["layers.0", "layers.1"]], ids=str
)
@pytest.mark.parametrize("criterion", ["movement", "magnitude", "magnitude_increase"])
@pytest.mark.parametrize("reset", ["init", "epoch_1", "step_2", "zero"])
def test_the_curves_equal_ten_lines_of_torch_on_the_stored_files(
    sweep: RunSweep, make_spec: Any, reset: str, criterion: str, scope: Any
) -> None:
    parts = {"reset_to": RESETS[reset], "criterion": criterion, "scope": scope}
    parts |= {"fractions_percent": FRACTIONS, "modes": ["active", "lazy"]}
    (result,), ctx = sweep(**parts)
    trained, initial = ctx.theta("theta_T", 0), ctx.theta("theta_0", 0)
    target = reset_target(ctx, reset)
    base = initial if reset == "zero" else target
    names = [f"layers.{layer}.linear.{part}" for layer in (0, 1) for part in ("weight", "bias")]

    def value(name: str) -> Tensor:
        last: Tensor = trained[name]
        if criterion == "movement":
            return torch.abs(last - base[name])
        if criterion == "magnitude":
            return torch.abs(last)
        return torch.abs(last) - torch.abs(base[name])

    groups = [names[:2], names[2:]] if scope == "per_layer" else [names]
    if isinstance(scope, list):
        groups = [[name for name in names if name.rsplit(".", 2)[0] in scope]]
    for place, percent in enumerate(FRACTIONS):
        nets = {"active": dict(trained), "lazy": dict(trained)}
        for group in groups:
            flat = torch.cat([value(name).flatten() for name in group])
            count = round(percent * len(flat) / 100)
            chosen = torch.zeros(len(flat), dtype=torch.bool)
            chosen[torch.sort(flat, descending=True, stable=True)[1][:count]] = True
            parts_of = torch.split(chosen, [trained[name].numel() for name in group])
            for name, part in zip(group, parts_of, strict=True):
                mask = part.view(trained[name].shape)
                nets["active"][name] = torch.where(mask, target[name], trained[name])
                nets["lazy"][name] = torch.where(mask, trained[name], target[name])
        for mode, net in nets.items():
            assert curve(result, mode)[place] == accuracy(net, ctx, make_spec(**parts)), percent


@pytest.mark.parametrize("scope", [["layers.0"], ["layers.1"], ["layers.0", "layers.1"]], ids=str)
def test_the_ends_of_both_curves_are_the_same_two_nets_in_some_layers_too(
    sweep: RunSweep, scope: Any
) -> None:
    """The first layer set to zero gives every image the same logits, up to rounding."""
    parts = {"scope": scope, "reset_to": RESETS["zero"], "fractions_percent": FRACTIONS}
    (result,), _ = sweep(**parts, epochs=0, model={"name": "relu_net", "width": 200})
    active, lazy = curve(result, "active"), curve(result, "lazy")
    assert (active[0], active[-1]) == (lazy[-1], lazy[0])
    assert active[0] == result.test_accuracy


def test_the_control_resets_as_many_parameters_drawn_at_random(
    sweep: RunSweep, make_spec: Any
) -> None:
    parts = {"modes": ["random", "active"], "fractions_percent": FRACTIONS}
    (result,), _ = sweep(**parts)
    assert [one.mode for one in result.curves] == ["random", "active"]
    assert result.curves[0].counts == result.curves[1].counts
    (alone,), _ = sweep(
        folder="alone", modes=["active"], criterion="random", fractions_percent=FRACTIONS
    )
    assert curve(alone, "active") == curve(result, "random")


def test_a_kept_checkpoint_is_the_end_of_a_training_of_that_length(
    make_context: ContextMaker, make_spec: Any
) -> None:
    """Also of seeds that train together; and a kept checkpoint changes no bit of the training."""
    for model in ({"name": "relu_net", "width": 20}, {**BN_NET, "second_kernel": 3}):
        longer = make_spec(model=model, checkpoints={"epochs": [2], "steps": [5]})
        ctx = make_context(f"long {model['name']}", seeds=(0, 1))
        run(ReinitSweepSpec.model_validate({**longer, "fractions_percent": [0.0]}), ctx)
        plain = make_context(f"plain {model['name']}", seeds=(0, 1))
        run(ReinitSweepSpec.model_validate(make_spec(model=model, fractions_percent=[0.0])), plain)
        short = make_context(f"short {model['name']}", seeds=(0, 1))
        shorter = make_spec(model=model, epochs=2, fractions_percent=[0.0])
        run(ReinitSweepSpec.model_validate(shorter), short)
        for seed in (0, 1):
            assert equal(ctx.theta("epoch_2", seed), short.theta("theta_T", seed))
            assert equal(ctx.theta("theta_T", seed), plain.theta("theta_T", seed))
            assert not equal(ctx.theta("step_5", seed), ctx.theta("epoch_2", seed))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop_at", range(1, 18, 3))
def test_a_run_that_is_interrupted_keeps_the_same_checkpoints(
    make_context: ContextMaker, make_spec: Any, stop_at: int
) -> None:
    spec = ReinitSweepSpec.model_validate(
        make_spec(reset_to={"name": "step", "step": 5}, checkpoints={"epochs": [1]})
    )
    undisturbed = make_context("undisturbed")
    expected = run(spec, undisturbed)
    first = make_context("interrupted")
    first.stop_at = stop_at
    with pytest.raises(RunInterrupted):
        run(spec, first)
    again = make_context("interrupted")
    (found,) = run(spec, again)
    assert isinstance(found, ReinitSeedResult)
    assert isinstance(expected[0], ReinitSeedResult)
    assert found.curves == expected[0].curves
    for name in ("theta_T", "epoch_1", "step_5"):
        assert equal(again.theta(name, 0), undisturbed.theta(name, 0))


def test_a_training_without_the_checkpoint_is_not_used(
    make_context: ContextMaker, make_spec: Any
) -> None:
    """One that keeps more is."""
    ctx = make_context()
    both = {"epochs": [1], "steps": [5]}
    run(ReinitSweepSpec.model_validate(make_spec(checkpoints=both)), ctx)
    assert ctx.registered == 1
    digest = ReinitSweepSpec.model_validate(make_spec()).training_digest(0, ctx.execution, "data")
    needs_more = make_spec(reset_to={"name": "epoch", "epoch": 1}, checkpoints={"steps": [7]})
    assert digest == ReinitSweepSpec.model_validate(needs_more).training_digest(
        0, ctx.execution, "data"
    )


def test_a_sweep_that_resets_the_wrong_way_is_detected(
    monkeypatch: pytest.MonkeyPatch, sweep: RunSweep, make_spec: Any
) -> None:
    monkeypatch.setattr(Sweep, "_find_reset", lambda self: self._trained.theta_0)
    with pytest.raises(AssertionError):
        test_everything_reset_gives_the_net_that_is_reset_to(sweep, make_spec, "epoch_1")
