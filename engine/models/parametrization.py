"""How the parameters that train become the weights that a net computes with. Imports no torch.

A net computes with multiplier * parameter. A parameter is drawn with the deviation of the weight
over the multiplier, so that a multiplier m changes the steps alone: under SGD those of the weight
are m^2 times as large, under Adam, whose steps do not depend on the gradient's scale, m times
(arXiv 2203.03466, Lemma J.1). One learning rate then serves all tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo
from engine.models.layout import layout
from engine.models.parts import Shape
from engine.models.plans import VGG_AND_RESNET_WIDTH
from engine.models.spec import ConvNetSpec, MlpSpec, ModelSpec, PlannedSpec, ReluNetSpec
from engine.spec_model import SpecModel


class StandardSpec(SpecModel):
    """The parameters are the weights."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["standard"] = "standard"


class NtkSpec(SpecModel):
    """Matrices are multiplied by 1 / sqrt(fan_in); the initial net is the standard one.

    With SGD the step of the output then tends to a limit at one learning rate as the width grows
    (arXiv 1806.07572, 1902.06720).
    """

    name: Literal["ntk"] = "ntk"


class MupSpec(SpecModel):
    """Maximal update: at every width each layer's activations change by as much in a step.

    Initial variances and step sizes are those of arXiv 2203.03466, Tables 3 and 9, relative to the
    net of `base_width`, which is the standard one.
    """

    name: Literal["mup"] = "mup"
    base_width: int = Field(
        64,
        ge=1,
        le=16_384,
        description="Units or channels of the first layer of the net whose parametrisation is the "
        "standard one; the other layers are scaled alike.",
    )


ParametrizationSpec = Annotated[StandardSpec | NtkSpec | MupSpec, Field(discriminator="name")]


@dataclass(frozen=True, slots=True)
class TensorScale:
    """The parametrisation of one tensor."""

    multiplier: float
    """of the parameter, in the forward pass"""
    draw_shape: Shape
    """The shape whose variance an initialisation gives the weight"""
    draw_factor: float
    """of the deviation by that shape, and of the 1 at which scales of normalisations begin"""


def find_scales(
    spec: ParametrizationSpec, model: ModelSpec, info: DatasetInfo, *, is_adam: bool
) -> Mapping[str, TensorScale]:
    """The scale of every parameter by name; empty where parameters are the weights.

    model: a net of plans, unless the parametrisation is the standard one.
    """
    if isinstance(spec, StandardSpec):
        return {}
    assert isinstance(model, PlannedSpec), "the check of the spec refuses other nets"
    shapes = _list_shapes(model, info)
    if isinstance(spec, NtkSpec):
        return {name: _scale_by_fan_in(shape) for name, shape in shapes.items()}
    base = _list_shapes(_narrow(model, spec.base_width), info)
    *_, output = (name for name, shape in shapes.items() if len(shape) > 1)
    return {
        name: _scale_by_width(shape, base[name], is_adam=is_adam, is_output=name == output)
        for name, shape in shapes.items()
    }


def _list_shapes(model: PlannedSpec, info: DatasetInfo) -> dict[str, Shape]:
    return {one.name: one.shape for layer in layout(model, info) for one in layer.parameters}


def _narrow(model: PlannedSpec, width: int) -> PlannedSpec:
    """The same net with so many units or channels in the first layer, the others scaled alike."""
    match model:
        case ReluNetSpec() | ConvNetSpec():
            return model.model_copy(update={"width": width})
        case MlpSpec(widths=widths):
            ratio = width / widths[0]
            scaled = tuple(max(1, round(one * ratio)) for one in widths)
            return model.model_copy(update={"widths": scaled})
    return model.model_copy(update={"width_multiplier": width / VGG_AND_RESNET_WIDTH})


def _scale_by_fan_in(shape: Shape) -> TensorScale:
    """Biases and normalisations have no factor."""
    fan_in = prod(shape[1:])
    return TensorScale(1 / sqrt(fan_in), shape, sqrt(fan_in))


def _scale_by_width(shape: Shape, base: Shape, *, is_adam: bool, is_output: bool) -> TensorScale:
    """fan_in and fan_out count relative to the base net; those of images and classes stay.

    The fan_in of a bias, as of a normalisation's scale and shift, is 1. A weight's variance falls
    as 1 / fan_in, that of the output weights as 1 / fan_in^2. Its step is 1 / fan_in under Adam and
    fan_out / fan_in under SGD.
    """
    fan_in, fan_out = prod(shape[1:]) / prod(base[1:]), shape[0] / base[0]
    multiplier = 1 / fan_in if is_adam else sqrt(fan_out / fan_in)
    deviation = 1 / fan_in if is_output else 1 / sqrt(fan_in)
    return TensorScale(multiplier, base, deviation / multiplier)
