"""Checks a spec against its data set: all that can be known before anything is read or computed."""

from __future__ import annotations

from engine.data.spec import DatasetInfo, no_images, validate_data
from engine.errors import FieldError, ModelRejected
from engine.models.layout import layout
from engine.models.spec import (
    ConvNetSpec,
    ModelSpec,
    Resnet18Spec,
    TorchvisionSpec,
    Vgg5Spec,
    Vgg11Spec,
    check_layer_gains,
    validate_model,
)
from engine.spec import ExperimentSpec

CONVOLUTIONAL = (ConvNetSpec, Vgg5Spec, Vgg11Spec, Resnet18Spec, TorchvisionSpec)
"""Models that take images only"""


def check_spec(spec: ExperimentSpec, info: DatasetInfo) -> list[FieldError]:
    """Every error of the spec on this data set, built in or registered.

    Raises NetNotDescribed where the layers of the net are not known yet.
    """
    needs_images = check_model(spec.model, info)
    if needs_images:
        return [*validate_data(spec.data, info), *needs_images]
    errors = [*validate_data(spec.data, info), *validate_model(spec.model, spec.init, info)]
    try:
        layers = layout(spec.model, info)
        return [*errors, *check_layer_gains(spec.init, len(layers)), *spec.check_data(info)]
    except ModelRejected as rejected:
        return [*errors, FieldError("#/spec/model", "model-rejected", str(rejected))]


def check_model(
    model: ModelSpec, info: DatasetInfo, pointer: str = "#/spec/model"
) -> list[FieldError]:
    """The error of a net of convolutions for data without images."""
    if info.has_images or not isinstance(model, CONVOLUTIONAL):
        return []
    detail = (
        f"the model is {model.name!r}, a net of convolutions, {no_images(info)}; use a net of "
        "linear layers, such as 'relu_net' or 'mlp'"
    )
    return [FieldError(pointer, "needs-images", detail)]
