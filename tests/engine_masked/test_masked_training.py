"""Only the entries of a mask move; all others keep their bits, whatever the optimiser does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD

from engine.errors import RunInterrupted
from engine.training.masked import FrozenEntries, MaskedStart
from engine.training.phases import Phases
from tests.engine_masked.small_runs import (
    ALONE,
    CONVOLUTIONAL,
    DATA,
    STACKED,
    bits,
    draw_mask,
    equal_bits,
    make_context,
    make_spec,
    train_masked,
)

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "adam", "lr": 0.01, "weight_decay": 0.1},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.5},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.1, "momentum": 0.0},
]
PLAIN_SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0}


def test_a_frozen_entry_keeps_its_bits_beside_one_that_moves_as_alone() -> None:
    """By hand: SGD with momentum and weight decay on (1, -0, 2); the gradient of -0 is NaN."""
    together = torch.tensor([1.0, -0.0, 2.0], requires_grad=True)
    alone = torch.tensor([1.0], requires_grad=True)
    frozen = FrozenEntries([together], [torch.tensor([True, False, False])])
    optimizers = [SGD([one], lr=0.5, momentum=0.5, weight_decay=0.5) for one in (together, alone)]
    for _ in range(2):
        together.grad = torch.tensor([1.0, float("nan"), 1.0])
        alone.grad = torch.tensor([1.0])
        frozen.clear_gradients([together.grad])
        assert together.grad.tolist() == [1.0, 0.0, 0.0]
        for optimizer in optimizers:
            optimizer.step()
        frozen.restore()
    # 1 - 0.5 * 1.5 = 0.25; then the buffer is 0.5 * 1.5 + 1 + 0.5 * 0.25 = 1.875
    assert alone.tolist() == [0.25 - 0.5 * 1.875]
    expected = torch.tensor([alone.item(), -0.0, 2.0])
    assert torch.equal(bits(together.detach()), bits(expected))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("model", [STACKED, ALONE, CONVOLUTIONAL], ids=lambda one: one["name"])
def test_frozen_weights_never_move(
    model: dict[str, Any], optimizer: dict[str, Any], tmp_path: Path
) -> None:
    spec = make_spec(model=model, optimizer=optimizer)
    plain, found, masks = train_masked(spec, tmp_path)
    moved = 0
    for name, movable in masks[0].items():
        before, after = bits(plain[0].theta_0[name]), bits(found[0].theta_T[name])
        assert torch.equal(before[~movable], after[~movable]), name
        moved += int((before != after)[movable].sum())
    assert moved > 10
    assert any(not torch.equal(plain[0].theta_T[name], found[0].theta_T[name]) for name in masks[0])


@pytest.mark.parametrize("model", [STACKED, ALONE], ids=lambda one: one["name"])
def test_where_all_may_move_the_training_is_the_plain_one(
    model: dict[str, Any], tmp_path: Path
) -> None:
    plain, found, _ = train_masked(make_spec(model=model), tmp_path, share=1.1)
    assert equal_bits(plain[0].theta_T, found[0].theta_T)
    assert plain[0].test_accuracy == found[0].test_accuracy


def test_stacked_seeds_have_the_bits_of_each_alone(tmp_path: Path) -> None:
    spec = make_spec()
    _, together, _ = train_masked(spec, tmp_path / "together", (3, 4))
    assert together[4].timings.stacked_seeds == 2
    _, alone, _ = train_masked(spec, tmp_path / "alone", (4,))
    assert alone[4].timings.stacked_seeds == 1
    assert equal_bits(together[4].theta_T, alone[4].theta_T)


def test_a_norm_is_clipped_over_what_may_move_alone(tmp_path: Path) -> None:
    """One step of SGD moves the one movable entry by the clipped norm."""
    spec = make_spec(
        model=ALONE,
        data={**DATA, "train_size": 32},
        epochs=1,
        optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0},
        clip_norm=1e-3,
    )
    phases = Phases(spec, make_context(tmp_path), 1)
    (plain,) = phases.train_plain()
    movement = {name: (plain.theta_T[name] - one).abs() for name, one in plain.theta_0.items()}
    name = max(movement, key=lambda one: float(movement[one].max()))
    movable = {one: torch.zeros(value.shape, dtype=torch.bool) for one, value in movement.items()}
    movable[name].view(-1)[int(movement[name].argmax())] = True
    distances: list[float] = []
    phases.train_masked(
        "one entry",
        lambda seed: MaskedStart(plain.theta_0, movable),
        lambda one: distances.append(float((one.theta_T[name] - plain.theta_0[name]).abs().max())),
    )
    # rounding of the entry, about 0.5, and of the norm, to which torch adds 1e-6
    assert distances == [pytest.approx(1e-3, rel=2e-3)]
    assert float(movement[name].max()) < 0.9e-3


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("model", [STACKED, ALONE], ids=lambda one: one["name"])
def test_a_training_that_starts_at_a_step_continues_the_plain_one(
    model: dict[str, Any], step: int, tmp_path: Path
) -> None:
    """Plain SGD keeps no state, so the weights of a step suffice; an epoch has 3 steps."""
    spec = make_spec(model=model, optimizer=PLAIN_SGD, checkpoints={"steps": [step]})
    ctx = make_context(tmp_path)
    phases = Phases(spec, ctx, 1)
    (plain,) = phases.train_plain()
    theta = ctx.theta(f"step_{step}", 0)
    everything = {name: torch.ones(one.shape, dtype=torch.bool) for name, one in theta.items()}
    ends: list[Any] = []
    phases.train_masked("late", lambda seed: MaskedStart(theta, everything, step), ends.append)
    assert equal_bits(ends[0].theta_T, plain.theta_T)


@pytest.mark.parametrize("model", [STACKED, ALONE], ids=lambda one: one["name"])
@pytest.mark.parametrize("stop_at", [1, 4, 10, 14, 16])
def test_a_run_interrupted_in_any_training_ends_with_the_same_bits(
    model: dict[str, Any], stop_at: int, tmp_path: Path
) -> None:
    """9 steps a training; the seeds of the second net train one by one. `kept` survives too."""
    spec = make_spec(model=model, optimizer=OPTIMIZERS[0])

    def run(folder: Path, stop: int | None) -> list[Any]:
        ctx = make_context(folder, (0, 1))
        ctx.stop_at = stop
        phases = Phases(spec, ctx, 2)
        plain = {one.seed: one for one in phases.train_plain()}
        ends: list[Any] = []
        first = phases.train_masked(
            "first",
            lambda seed: MaskedStart(plain[seed].theta_0, draw_mask(plain[seed].theta_0)),
            lambda one: phases.kept.update({f"{one.seed}.{k}": v for k, v in one.theta_T.items()}),
        )
        second = phases.train_masked(
            "second",
            lambda seed: MaskedStart(
                {name: phases.kept[f"{seed}.{name}"] for name in plain[seed].theta_0},
                draw_mask(plain[seed].theta_0, seed=7),
            ),
            lambda one: ends.append(one.theta_T),
        )
        told = [
            (one.test_accuracy, one.best_epoch) for done in (first, second) for one in done.values()
        ]
        return [ends, told, phases.curves(0), phases.curves(1)]

    whole = run(tmp_path / "whole", None)
    for number in range(100):
        try:
            found = run(tmp_path / "stopped", stop_at + number)
            break
        except RunInterrupted:
            assert number < 90
    assert len(found[0]) == 2
    assert all(equal_bits(one, other) for one, other in zip(found[0], whole[0], strict=True))
    assert found[1:] == whole[1:]
