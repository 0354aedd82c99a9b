"""Checks a spec against its data set: all that can be known before anything is read or computed."""

from __future__ import annotations

from engine.data.spec import DatasetInfo, no_images, validate_data
from engine.errors import FieldError, ModelRejected
from engine.models.layout import layout
from engine.models.net_totals import measure_net
from engine.models.spec import (
    ConvNetSpec,
    DescribedSpec,
    DrawnSpec,
    ModelSpec,
    Resnet18Spec,
    TorchvisionSpec,
    Vgg5Spec,
    Vgg11Spec,
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
        if isinstance(spec.model, DescribedSpec):
            layout(spec.model, info)  # known, and usable
        return [*errors, *_check_regime(spec, info), *spec.check_data(info)]
    except ModelRejected as rejected:
        return [*errors, FieldError("#/spec/model", "model-rejected", str(rejected))]


def _check_regime(spec: ExperimentSpec, info: DatasetInfo) -> list[FieldError]:
    """The errors of gains of layers and of a scaled output that the net's layers decide."""
    errors = []
    if isinstance(spec.init, DrawnSpec) and spec.init.layer_gains:
        given, wanted = len(spec.init.layer_gains), measure_net(spec.model, info).num_layers
        if given != wanted:
            detail = (
                f"{given} gains for a net of {wanted} layers; give one for each, from the input up"
            )
            errors.append(FieldError("#/spec/init/layer_gains", "wrong-number", detail))
    scale = spec.output_scale
    if scale is not None and scale.centred and not measure_net(spec.model, info).has_fixed_output:
        detail = (
            "the output at the start is subtracted, so that it must depend on the image alone; "
            "this net normalises by batch or draws random numbers in training. Use a net that does "
            "not, or `centred: false`"
        )
        errors.append(FieldError("#/spec/output_scale/centred", "needs-fixed-output", detail))
    return errors


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
