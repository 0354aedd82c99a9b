"""Nets: layers leave their input unchanged, and pools commute with ReLUs."""

from __future__ import annotations

import pytest
import torch

from engine.models.spec import (
    ReluNetSpec,
    Resnet18Spec,
    Vgg5Spec,
)
from tests.engine_parts.nets import DIGITS, build


def test_a_layer_does_not_change_its_input() -> None:
    for model in (
        ReluNetSpec(width=5, depth=2),
        Vgg5Spec(width_multiplier=0.05),
        Resnet18Spec(width_multiplier=0.1),
    ):
        net = build(model, DIGITS).eval()
        x = torch.randn(2, *DIGITS.shape)
        for index in range(len(net.layers)):
            kept = x.clone()
            after = net(x, index, index + 1)
            assert torch.equal(x, kept)
            x = after


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pooling_before_and_after_the_relu_gives_the_same_bits(
    memory_format: torch.memory_format,
) -> None:
    # rounded, so that ties occur
    x = torch.randn(8, 6, 11, 11).round(decimals=1).to(memory_format=memory_format)
    weight = torch.randn(8, 6, 5, 5)
    results = []
    for pieces in (
        (torch.nn.MaxPool2d(2), torch.nn.ReLU(inplace=True)),
        (torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
    ):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = torch.nn.Sequential(*pieces)(leaf * 1.0)
        (y * weight).sum().backward()
        assert leaf.grad is not None
        results.append((y.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
