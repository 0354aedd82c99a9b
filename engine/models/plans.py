"""Each model as a list of layers, bottom first (paper, Section 3, Figure 13). Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

from engine.data.spec import DatasetInfo
from engine.models.parts import (
    Conv,
    Gelu,
    LayerNorm,
    LayerPlan,
    Linear,
    Mean,
    Norm,
    Part,
    Pool,
    Relu,
    Shape,
    Tanh,
)
from engine.models.spec import (
    ConvNetSpec,
    MlpSpec,
    PlannedSpec,
    ReluNetSpec,
    Resnet18Spec,
    Vgg5Spec,
    Vgg11Spec,
)

_VGG5_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (256, 256, 256))
_VGG5_HIDDEN = 512
_VGG11_CONVS = (
    (64, True),
    (128, True),
    (256, False),
    (256, True),
    (512, False),
    (512, True),
    (512, False),
    (512, True),
)
"""(channels, followed by a pool)"""
_VGG11_HIDDEN = (512, 512)
VGG_AND_RESNET_WIDTH = 64
"""Channels of the first convolution at width_multiplier 1"""
_RESNET18_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""(channels, stride of the first block); two blocks each"""
_ACTIVATIONS: Mapping[str, Part] = {"relu": Relu(), "gelu": Gelu(), "tanh": Tanh()}


def plan_model(model: PlannedSpec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    """The layers of `model`, bottom first, for images of `info.shape` and `info.num_classes`
    classes.

    Max-pools halve the side, dropping an odd row, and are left out where the side is 1: on 28x28
    images VGG-11 has no fifth pool.
    """
    match model:
        case ReluNetSpec():
            return _plan_relu_net(model, info)
        case MlpSpec():
            return _plan_mlp(model, info)
        case ConvNetSpec():
            return _plan_conv_net(model, info)
        case Vgg5Spec():
            return _plan_vgg5(model, info)
        case Vgg11Spec():
            return _plan_vgg11(model, info)
        case Resnet18Spec():
            return _plan_resnet18(model, info)


def layer_output_shape(layer: LayerPlan, shape: Shape) -> Shape:
    """The shape of one example after the layer."""
    for part in layer.parts:
        shape = part.output_shape(shape)
    return shape


def scale_width(width: int, multiplier: float) -> int:
    """A hidden width times the multiplier, rounded, at least 1."""
    return max(1, round(width * multiplier))


def _plan_relu_net(model: ReluNetSpec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    sizes = [prod(info.shape), *[model.width] * model.depth]
    hidden = [LayerPlan((Linear("linear", size, after), Relu())) for size, after in pairwise(sizes)]
    return (*hidden, LayerPlan((Linear("linear", model.width, info.num_classes),)))


def _plan_mlp(model: MlpSpec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    sizes = [prod(info.shape), *model.widths]
    hidden = [
        LayerPlan(
            (Linear("linear", size, after), *_norm_of(model, after), _ACTIVATIONS[model.activation])
        )
        for size, after in pairwise(sizes)
    ]
    return (*hidden, LayerPlan((Linear("linear", sizes[-1], info.num_classes),)))


def _norm_of(model: MlpSpec, width: int) -> tuple[Part, ...]:
    match model.norm:
        case "none":
            return ()
        case "layer":
            return (LayerNorm("norm", width),)
        case "batch":
            return (Norm("norm", width),)


def _plan_conv_net(model: ConvNetSpec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    layers: list[LayerPlan] = []
    shape: Shape = info.shape
    for _ in range(model.depth):
        layers.append(LayerPlan((Conv("conv", shape[0], model.width), *_pool_after(shape), Relu())))
        shape = layer_output_shape(layers[-1], shape)
    return (*layers, LayerPlan((Linear("linear", prod(shape), info.num_classes),)))


def _plan_vgg5(model: Vgg5Spec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    layers: list[LayerPlan] = []
    shape: Shape = info.shape
    for widths in _VGG5_BLOCKS:
        parts: list[Part] = []
        channels = shape[0]
        for number, width in enumerate(widths, start=1):
            out = scale_width(width, model.width_multiplier)
            parts.append(
                Conv(f"conv{number}", channels, out, 3 if number == 1 else model.second_kernel)
            )
            parts += [Norm(f"norm{number}", out)] if model.batch_norm else []
            parts += _pool_after(shape) if number == len(widths) else []
            parts.append(Relu(f"relu{number}"))
            channels = out
        layers.append(LayerPlan(tuple(parts)))
        shape = layer_output_shape(layers[-1], shape)
    hidden = scale_width(_VGG5_HIDDEN, model.width_multiplier)
    norm = [Norm("norm", hidden)] if model.batch_norm else []
    top: tuple[Part, ...] = (
        Linear("linear1", prod(shape), hidden),
        *norm,
        Relu(),
        Linear("linear2", hidden, info.num_classes),
    )
    return (*layers, LayerPlan(top))


def _plan_vgg11(model: Vgg11Spec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    layers: list[LayerPlan] = []
    shape: Shape = info.shape
    for width, pooled in _VGG11_CONVS:
        conv = Conv("conv", shape[0], scale_width(width, model.width_multiplier))
        pool: tuple[Part, ...] = _pool_after(shape) if pooled else ()
        parts: tuple[Part, ...] = (conv, *pool, Relu())
        layers.append(LayerPlan(parts))
        shape = layer_output_shape(layers[-1], shape)
    features = prod(shape)
    for width in _VGG11_HIDDEN:
        out = scale_width(width, model.width_multiplier)
        layers.append(LayerPlan((Linear("linear", features, out), Relu())))
        features = out
    return (*layers, LayerPlan((Linear("linear", features, info.num_classes),)))


def _plan_resnet18(model: Resnet18Spec, info: DatasetInfo) -> tuple[LayerPlan, ...]:
    channels = scale_width(64, model.width_multiplier)
    stem = Conv("conv", info.shape[0], channels, bias=False)
    layers = [LayerPlan((stem, Norm("norm", channels), Relu()))]
    for width, first_stride in _RESNET18_STAGES:
        out = scale_width(width, model.width_multiplier)
        for stride in (first_stride, 1):
            layers.append(_plan_basic_block(channels, out, stride))
            channels = out
    return (*layers, LayerPlan((Mean(), Linear("linear", channels, info.num_classes))))


def _plan_basic_block(channels: int, out: int, stride: int) -> LayerPlan:
    parts = (
        Conv("conv1", channels, out, stride=stride, bias=False),
        Norm("norm1", out),
        Relu("relu1"),
        Conv("conv2", out, out, bias=False),
        Norm("norm2", out),
    )
    if stride == 1 and channels == out:
        return LayerPlan(parts, shortcut=())
    projection = Conv("shortcut_conv", channels, out, kernel=1, stride=stride, bias=False)
    return LayerPlan(parts, shortcut=(projection, Norm("shortcut_norm", out)))


def _pool_after(shape: Shape) -> tuple[Part, ...]:
    """A pool where the side is > 1.

    It precedes the ReLU: the two commute, and the ReLU then has a quarter of the values to compute.
    """
    return (Pool(),) if min(shape[1:]) > 1 else ()
