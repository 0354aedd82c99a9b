"""Checks a spec against its data set: all that can be known before anything is read or computed."""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.spec import DatasetInfo, no_images, validate_data
from engine.errors import FieldError, ModelRejected
from engine.models.layer_layout import LayerLayout
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
        gains = check_layer_gains(spec.init, len(layers))
        return [*errors, *gains, *_check_output_scale(spec, layers), *spec.check_data(info)]
    except ModelRejected as rejected:
        return [*errors, FieldError("#/spec/model", "model-rejected", str(rejected))]


def _check_output_scale(spec: ExperimentSpec, layers: Sequence[LayerLayout]) -> list[FieldError]:
    """The error of a centred output where the net's output is no function of the image alone."""
    if spec.output_scale is None or not spec.output_scale.centred:
        return []
    if not any(layer.normalises_by_batch or layer.is_random for layer in layers):
        return []
    detail = (
        "the output at the start is subtracted, so that it must depend on the image alone; this "
        "net normalises by batch or draws random numbers in training. Use a net that does not, "
        "or `centred: false`"
    )
    return [FieldError("#/spec/output_scale/centred", "needs-fixed-output", detail)]


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
