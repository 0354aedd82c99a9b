"""Names, shapes, parameter counts and FLOPs of every layer, by arithmetic. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Literal

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.models.host import net_host
from engine.models.layer_layout import LayerLayout, ParameterLayout
from engine.models.parts import Conv, LayerPlan, Linear, Norm, Part, Shape
from engine.models.plans import plan_model
from engine.models.spec import DescribedSpec, ModelSpec, PlannedSpec


def layout(model: ModelSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
    """The layers of the net, bottom first; parameters in the order of `named_parameters()`.

    Raises NetNotDescribed for a net of torchvision or of a plug-in that no worker has described
    yet, and ModelRejected for one that cannot be used.
    """
    if isinstance(model, DescribedSpec):
        return net_host().describe(model, info)
    return _layout_by_arithmetic(model, info)


@lru_cache(maxsize=128)
def _layout_by_arithmetic(model: PlannedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
    layers = []
    shape: Shape = info.shape
    for index, plan in enumerate(plan_model(model, info)):
        layers.append(_describe_layer(f"layers.{index}", plan, shape))
        shape = layers[-1].output_shape
    assert shape == (info.num_classes,)
    return tuple(layers)


def count_planned_layers(model: ModelSpec) -> int | None:
    """The number of layers, which no data set changes; None where only a description tells it."""
    if isinstance(model, DescribedSpec):
        return None
    return len(plan_model(model, BUILTIN_DATASETS["cifar10"]))


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
        ParameterLayout(f"{name}.{part.name}.{leaf}", dims, dtype)
        for part in plan.all_parts()
        if isinstance(part, Norm)
        for leaf, dims, dtype in part.buffers()
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
        normalises_by_batch=bool(buffers),
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


__all__ = [
    "LayerLayout",
    "ParameterLayout",
    "count_planned_layers",
    "layout",
    "num_parameters",
]
