"""Hand-written gradients of linear layers: bit-equal to autograd, used if all layers are linear."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from engine.data.spec import BUILTIN_DATASETS
from engine.models.build import build_model
from engine.models.net import LayeredNet
from engine.models.spec import ModelSpec
from engine.training.losses import AutogradLoss, LinearLoss, find_linear_parts

DIGITS = BUILTIN_DATASETS["digits"]


def make_net(**model: Any) -> LayeredNet:
    net = build_model(TypeAdapter(ModelSpec).validate_python(model), DIGITS)
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def gradients(net: LayeredNet, loss: AutogradLoss | LinearLoss) -> list[torch.Tensor | None]:
    for parameter in net.parameters():
        parameter.grad = None
    loss.backward()
    assert not loss.logits.requires_grad
    return [loss.logits, loss.value, *(parameter.grad for parameter in net.parameters())]


@pytest.mark.parametrize("rows", [1, 7, 64, 500])
@pytest.mark.parametrize("trained", [{0, 1, 2}, {0, 2}, {0}, {1, 2}, {1}, {2}])
@pytest.mark.parametrize("width", [32, 513])
def test_linear_loss_and_autograd_give_the_same_bits(
    rows: int, trained: set[int], width: int
) -> None:
    net = make_net(name="relu_net", width=width, depth=2)
    start = min(trained)
    for index in range(3):
        for parameter in net.parameters_of_layer(index):
            parameter.requires_grad_(index in trained)
    x, y = torch.rand(rows, *DIGITS.shape), torch.randint(0, 10, (rows,))
    with torch.no_grad():
        x = net(x, 0, start)
    parts = find_linear_parts(net, start)
    assert parts is not None
    by_autograd = gradients(net, AutogradLoss(net, start, x, y))
    by_hand = gradients(net, LinearLoss(parts, x, y))
    assert sum(gradient is not None for gradient in by_hand) == 2 + 2 * len(trained)
    for ours, theirs in zip(by_hand, by_autograd, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or (theirs is not None and torch.equal(ours, theirs))


@pytest.mark.parametrize(
    ("model", "first_linear"),
    [
        ({"name": "relu_net", "depth": 2}, 0),
        ({"name": "conv_net", "depth": 2, "width": 4}, 2),
        ({"name": "vgg5", "width_multiplier": 0.1}, 4),
        ({"name": "vgg11", "width_multiplier": 0.1}, 8),
        ({"name": "vgg5", "width_multiplier": 0.1, "batch_norm": True}, 5),
        ({"name": "resnet18", "width_multiplier": 0.1}, 10),
    ],
)
def test_linear_parts_start_above_the_last_convolution_or_norm(
    model: dict[str, Any], first_linear: int
) -> None:
    net = make_net(**model)
    found = [find_linear_parts(net, start) is not None for start in range(len(net.layers))]
    assert found == [start >= first_linear for start in range(len(net.layers))]
