"""Checks a spec against its data set: all that can be known before anything is read or computed."""

from __future__ import annotations

from engine.data.spec import DatasetInfo, no_images, validate_data
from engine.errors import FieldError, ModelRejected
from engine.models.layout import layout
from engine.models.net_totals import measure_net
from engine.models.spec import (
    CheckpointSpec,
    ConvNetSpec,
    DescribedSpec,
    DrawnSpec,
    ModelSpec,
    PlannedSpec,
    Resnet18Spec,
    TorchvisionSpec,
    Vgg5Spec,
    Vgg11Spec,
    validate_model,
)
from engine.optim.spec import AdamSpec, SgdSpec
from engine.probes.spec import check_derivatives
from engine.spec import ExperimentSpec

CONVOLUTIONAL = (ConvNetSpec, Vgg5Spec, Vgg11Spec, Resnet18Spec, TorchvisionSpec)
"""Models that take images only"""
PARAMETRIZATION = "#/spec/parametrization"


def check_spec(spec: ExperimentSpec, info: DatasetInfo) -> list[FieldError]:
    """Every error of the spec on this data set, built in or registered.

    Raises NetNotDescribed where the layers of the net are not known yet.
    """
    errors = validate_data(spec.data, info)
    wrong_net = [*check_model(spec.model, info), *_check_widths(spec)]
    if wrong_net:
        return [*errors, *wrong_net]
    errors = [*errors, *validate_model(spec.model, spec.init, info)]
    try:
        # A described net is known, and usable; of others all derivatives are.
        layers = layout(spec.model, info) if isinstance(spec.model, DescribedSpec) else ()
        return [
            *errors,
            *(check_derivatives(spec.probes, layers) if spec.probes else ()),
            *_check_regime(spec, info),
            *_check_parametrization(spec),
            *spec.check_data(info),
        ]
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


def _check_widths(spec: ExperimentSpec) -> list[FieldError]:
    """The error of a parametrisation by width for a net whose widths are not known."""
    if spec.parametrization.name == "standard" or isinstance(spec.model, PlannedSpec):
        return []
    detail = (
        f"the model is {spec.model.name!r}, whose widths are not known; use a net of this project, "
        "such as 'relu_net' or 'vgg5', or `standard`"
    )
    return [FieldError(PARAMETRIZATION, "needs-planned-net", detail)]


def _check_parametrization(spec: ExperimentSpec) -> list[FieldError]:
    """An error for each other field with which the parametrisation would be wrong."""
    name, optimizer = spec.parametrization.name, spec.optimizer
    if name == "standard":
        return []
    found: dict[str, str] = {}
    if not isinstance(spec.init, DrawnSpec | CheckpointSpec):
        found["needs-drawn-weights"] = (
            f"init {spec.init.name!r} gives the weights of a standard net; use 'xavier', 'he' or "
            "'lecun', or a checkpoint of a training with this parametrisation"
        )
    if name == "ntk" and not isinstance(optimizer, SgdSpec):
        found["needs-sgd"] = (
            f"the steps of {optimizer.name!r} do not follow the gradient's scale, so that they "
            "grow with the width under `ntk`; use 'sgd', or `mup`"
        )
    if name == "mup" and isinstance(optimizer, AdamSpec) and optimizer.weight_decay:
        found["needs-decoupled-decay"] = (
            "adam adds weight_decay to a gradient whose scale depends on the width; use 'adamw', "
            "or no weight_decay"
        )
    return [FieldError(PARAMETRIZATION, code, detail) for code, detail in found.items()]


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
