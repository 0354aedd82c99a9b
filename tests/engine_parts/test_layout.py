"""Layouts by arithmetic: the paper's counts, equal to the built nets."""

from __future__ import annotations

from math import prod
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from engine.data.spec import DatasetInfo
from engine.models.build import build_model
from engine.models.layout import layout, num_parameters
from engine.models.spec import (
    ConvNetSpec,
    MlpSpec,
    ModelSpec,
    ReluNetSpec,
    Resnet18Spec,
    Vgg5Spec,
    Vgg11Spec,
)
from engine.models.start_weights import expected_tensors
from engine.models.weights import describe_tensors
from tests.engine_parts.nets import CIFAR10, DIGITS, build

ODD = DatasetInfo("odd", "odd", (2, 9, 13), 7, 70, 14, "registered")
TINY = DatasetInfo("tiny", "tiny", (1, 1, 1), 3, 30, 6, "registered")
SPECS: list[tuple[ModelSpec, DatasetInfo]] = [
    (model, info)
    for model in (
        ReluNetSpec(),
        ReluNetSpec(width=7, depth=4),
        MlpSpec(),
        MlpSpec(widths=(5, 9, 3), activation="gelu", norm="layer"),
        MlpSpec(widths=(4,), activation="tanh", norm="batch"),
        ConvNetSpec(width=5, depth=1),
        ConvNetSpec(width=3, depth=8),
        Vgg5Spec(width_multiplier=0.25),
        Vgg5Spec(width_multiplier=0.1, second_kernel=3, batch_norm=True),
        Vgg11Spec(width_multiplier=0.0625),
        Resnet18Spec(width_multiplier=0.125),
        Resnet18Spec(width_multiplier=0.01),
    )
    for info in (DIGITS, CIFAR10, ODD, TINY)
]


@pytest.mark.parametrize(
    ("model", "info", "expected"),
    [
        (ReluNetSpec(width=100_000, depth=1), DIGITS, 79_500_010),
        (Vgg5Spec(), DIGITS, 1_380_298),
        (Vgg5Spec(second_kernel=3, batch_norm=True), DIGITS, 3_646_154),
        (Vgg11Spec(), CIFAR10, 9_750_922),
        (Resnet18Spec(), CIFAR10, 11_173_962),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_parameter_counts_equal_the_papers(
    model: ModelSpec, info: DatasetInfo, expected: int
) -> None:
    assert num_parameters(model, info) == expected


@pytest.mark.parametrize(
    ("model", "info", "layers"),
    [
        (ReluNetSpec(depth=4), DIGITS, 5),
        (ConvNetSpec(depth=2), DIGITS, 3),
        (Vgg5Spec(), DIGITS, 5),
        (Vgg11Spec(), CIFAR10, 11),
        (Resnet18Spec(), CIFAR10, 10),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_layers_are_counted_as_in_the_paper(
    model: ModelSpec, info: DatasetInfo, layers: int
) -> None:
    assert len(layout(model, info)) == layers
    assert len(build_model(model, info).layers) == layers


@pytest.mark.parametrize(("model", "info"), SPECS)
def test_the_layout_equals_the_built_net(model: ModelSpec, info: DatasetInfo) -> None:
    net, layers = build(model, info), layout(model, info)
    built = [(name, tuple(parameter.shape)) for name, parameter in net.named_parameters()]
    assert [(p.name, p.shape) for layer in layers for p in layer.parameters] == built
    assert num_parameters(model, info) == sum(prod(shape) for _, shape in built)
    statistics = {name: tuple(buffer.shape) for name, buffer in net.named_buffers()}
    assert {b.name: b.shape for layer in layers for b in layer.buffers} == statistics
    assert expected_tensors(model, info) == describe_tensors(net.state_dict())
    x: Tensor = torch.zeros(2, *info.shape)
    net.eval()
    for index, layer in enumerate(layers):
        assert sum(p.numel() for p in net.parameters_of_layer(index)) == layer.num_parameters
        x = net(x, index, index + 1)
        assert tuple(x.shape[1:]) == layer.output_shape
        assert x[0].numel() == layer.activation_size


@pytest.mark.parametrize(("model", "info"), SPECS[::3])
def test_a_net_run_in_two_parts_gives_the_bits_of_the_whole(
    model: ModelSpec, info: DatasetInfo
) -> None:
    net = build(model, info).eval()
    x = torch.randn(3, *info.shape, generator=torch.Generator().manual_seed(0))
    whole = net(x)
    for cut in range(len(net.layers) + 1):
        assert torch.equal(net(net(x, 0, cut), start=cut), whole)


def test_a_linear_layer_takes_two_flops_per_weight() -> None:
    bottom, top = layout(ReluNetSpec(width=100, depth=1), DIGITS)
    assert (bottom.forward_flops, top.forward_flops) == (2 * 784 * 100 + 100, 2 * 100 * 10)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_the_flops_of_an_mlp_are_those_of_the_built_net(
    activation: Literal["relu", "gelu", "tanh"], norm: Literal["none", "layer", "batch"]
) -> None:
    """torch counts the products; each value takes 1 more by the activation, 4 by the norm."""
    model = MlpSpec(widths=(30, 7, 11), activation=activation, norm=norm)
    net = build(model, CIFAR10)
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(2, *CIFAR10.shape))
    values = 30 + 7 + 11
    elementwise = values * (1 if norm == "none" else 5)
    flops = sum(layer.forward_flops for layer in layout(model, CIFAR10))
    assert flops == counter.get_total_flops() // 2 + elementwise


@pytest.mark.parametrize(("width", "depth"), [(9, 1), (17, 3)])
def test_an_mlp_of_equal_widths_with_relu_is_the_relu_net(width: int, depth: int) -> None:
    mlp, relu_net = MlpSpec(widths=(width,) * depth), ReluNetSpec(width=width, depth=depth)
    assert layout(mlp, DIGITS) == layout(relu_net, DIGITS)
    x = torch.randn(5, *DIGITS.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(build(mlp)(x), build(relu_net)(x))


def test_an_mlp_computes_what_torch_does() -> None:
    net = build(MlpSpec(widths=(6, 5), activation="gelu", norm="layer"))
    weights = dict(net.named_parameters())
    x = torch.randn(5, *DIGITS.shape, generator=torch.Generator().manual_seed(0))
    h = x.flatten(1)
    for index in range(2):
        name = f"layers.{index}"
        h = functional.linear(h, weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"])
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        h = functional.gelu(functional.layer_norm(h, scale.shape, scale, shift))
    top = functional.linear(h, weights["layers.2.linear.weight"], weights["layers.2.linear.bias"])
    assert torch.equal(net(x), top)
