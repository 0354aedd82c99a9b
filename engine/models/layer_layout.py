"""One layer as data: names, shapes, parameter counts, FLOPs, traits. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from engine.models.parts import Shape

Derivative = Literal["per_example", "forward"]
"""Of one example alone, by reverse mode under a `vmap`; or along one direction, by forward mode"""


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """One tensor of parameters or of a buffer, named as in the built net."""

    name: str
    shape: Shape
    dtype: str = "float32"
    """Torch's name"""

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
    """what it stores besides parameters, such as the running means of batch normalisation"""
    normalises_by_batch: bool = False
    """whether, in training, its output for an example depends on the others of the batch"""
    is_random: bool = False
    """whether it draws random numbers in training, as dropout does"""
    lacks: tuple[Derivative, ...] = ()
    """derivatives that an operation of it has no rule for"""
