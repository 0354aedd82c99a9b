"""A net as a few numbers, kept for all points of a large sweep. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from engine.data.spec import DatasetInfo
from engine.models.layout import layout
from engine.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class NetTotals:
    """What the checks and the cost of a spec need of a net's layout."""

    num_layers: int
    parameters: int
    forward_flops: int
    """of one example, as the others"""
    gradient_flops: int
    """of the forward and the backward pass; no gradient of the images is computed"""
    saved_floats: int
    layer_sizes: frozenset[tuple[int, int]]
    """(saved floats, parameters) of the layers"""
    has_fixed_output: bool
    """whether, in training, the output is a function of the image and the parameters alone"""


@lru_cache(maxsize=4096)
def measure_net(model: ModelSpec, info: DatasetInfo) -> NetTotals:
    """The totals; a sweep asks for those of each net several times. Raises as `layout` does."""
    layers = layout(model, info)
    parameters = forward = saved = 0
    sizes = {(layer.saved_floats, layer.num_parameters) for layer in layers}
    has_fixed_output = True
    for layer in layers:
        parameters += layer.num_parameters
        forward += layer.forward_flops
        saved += layer.saved_floats
        if layer.normalises_by_batch or layer.is_random:
            has_fixed_output = False
    return NetTotals(
        num_layers=len(layers),
        parameters=parameters,
        forward_flops=forward,
        gradient_flops=3 * forward - layers[0].forward_flops,
        saved_floats=saved,
        layer_sizes=frozenset(sizes),
        has_fixed_output=has_fixed_output,
    )
