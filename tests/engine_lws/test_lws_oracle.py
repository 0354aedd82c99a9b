"""Layer-wise sparse SGD against the few lines that define it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from engine.data.bounds import batch_bounds
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.training.layer_schedule import draw_schedule
from tests.engine_lws.runner import Runner, SpecMaker

LR, MOMENTUM, DECAY = 0.05, 0.9, 0.01


def test_frozen_layers_and_their_momentum_do_not_change_as_in_the_definition(
    runner: Runner, make_spec: SpecMaker, tmp_path: Path
) -> None:
    spec = make_spec(
        model={"name": "relu_net", "width": 16, "depth": 2},
        policy={"name": "random_uniform"},
        optimizer={
            "name": "sgd",
            "lr": LR,
            "momentum": MOMENTUM,
            "nesterov": False,
            "weight_decay": DECAY,
        },
        epochs=8,
    )
    _, ctx = runner.run(spec)
    schedule = draw_schedule(spec.policy, 3, spec.epochs, seed=0)
    assert len(set(schedule.trained)) == 3, "layers must freeze and train again"

    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    theta = {name: value.double() for name, value in runner.theta(ctx, "theta_0").items()}
    momentum = {name: torch.zeros_like(value) for name, value in theta.items()}
    for epoch in range(spec.epochs):
        order = epoch_order(0, epoch, len(data.y_train))
        for start, stop in batch_bounds(len(order), spec.batch_size):
            chosen = order[start:stop]
            for value in theta.values():
                value.requires_grad_(True)
            h = data.x_train[chosen].double().flatten(1)
            for layer in range(3):
                h = functional.linear(
                    h, theta[f"layers.{layer}.linear.weight"], theta[f"layers.{layer}.linear.bias"]
                )
                h = h.relu() if layer < 2 else h
            torch.autograd.backward(functional.cross_entropy(h, data.y_train[chosen]))
            for name, value in theta.items():
                if int(name.split(".")[1]) in schedule.trained[epoch]:
                    assert value.grad is not None
                    step = value.grad + DECAY * value.detach()
                    momentum[name] = MOMENTUM * momentum[name] + step
                    theta[name] = value.detach() - LR * momentum[name]
                else:
                    theta[name] = value.detach()
    for name, value in runner.theta(ctx).items():
        # single against double precision, over 40 steps
        torch.testing.assert_close(value.double(), theta[name].detach(), atol=2e-4, rtol=1e-3)
