"""Names, shapes, parameter counts and FLOPs of every layer, by arithmetic. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

from engine.data.spec import DatasetInfo
from engine.models.parts import Conv, LayerPlan, Linear, Norm, Part, Shape
from engine.models.plans import plan_model
from engine.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """One parameter tensor, named as in the built net."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class LayerLayout:
    """One layer as the paper counts them."""

    name: str
    """`layers.{i}`, counted from the bottom"""
    kind: Literal["linear", "conv", "block"]
    """`block` holds several weighted pieces"""
    parameters: tuple[ParameterLayout, ...]
    num_parameters: int
    forward_flops: int
    """of one example; a multiply-add counts 2"""
    output_shape: Shape
    """of one example"""
    activation_size: int
    """floats of one example's output"""
    saved_floats: int
    """floats per example saved for the backward pass through this layer, its input excluded"""
    buffers: tuple[ParameterLayout, ...] = ()
    """running means and variances of batch normalisation"""


@lru_cache(maxsize=128)
def layout(model: ModelSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
    """The layers of the net, bottom first; parameters in the order of `named_parameters()`."""
    layers = []
    shape: Shape = info.shape
    for index, plan in enumerate(plan_model(model, info)):
        layers.append(_describe_layer(f"layers.{index}", plan, shape))
        shape = layers[-1].output_shape
    assert shape == (info.num_classes,)
    return tuple(layers)


def num_parameters(model: ModelSpec, info: DatasetInfo) -> int:
    """p: all weights, biases, scales and shifts."""
    return sum(layer.num_parameters for layer in layout(model, info))


def _describe_layer(name: str, plan: LayerPlan, shape: Shape) -> LayerLayout:
    output, flops, saved = _trace(plan.parts, shape)
    if plan.shortcut is not None:
        _, shortcut_flops, shortcut_saved = _trace(plan.shortcut, shape)
        flops += shortcut_flops + 2 * prod(output)
        saved += shortcut_saved + prod(output)
    parameters = tuple(
        ParameterLayout(f"{name}.{part.name}.{leaf}", dims)
        for part in plan.all_parts()
        for leaf, dims in part.parameters()
    )
    buffers = tuple(
        ParameterLayout(f"{name}.{part.name}.{leaf}", (part.channels,))
        for part in plan.all_parts()
        if isinstance(part, Norm)
        for leaf in ("running_mean", "running_var")
    )
    return LayerLayout(
        name=name,
        kind=_kind_of(plan),
        parameters=parameters,
        num_parameters=sum(parameter.size for parameter in parameters),
        forward_flops=flops,
        output_shape=output,
        activation_size=prod(output),
        saved_floats=saved,
        buffers=buffers,
    )


def _trace(parts: tuple[Part, ...], shape: Shape) -> tuple[Shape, int, int]:
    """(output shape, FLOPs, saved floats) of a sequence of pieces."""
    flops = saved = 0
    for part in parts:
        flops += part.forward_flops(shape)
        saved += part.saved_floats(shape)
        shape = part.output_shape(shape)
    return shape, flops, saved


def _kind_of(plan: LayerPlan) -> Literal["linear", "conv", "block"]:
    weighted = [part for part in plan.all_parts() if isinstance(part, Conv | Linear)]
    if len(weighted) > 1:
        return "block"
    return "conv" if isinstance(weighted[0], Conv) else "linear"
