"""The model and initialisation parts of a spec (paper, Section 3 and Figure 13)."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.models.torchvision_catalog import architectures
from engine.spec_model import Many, SpecModel

WidthMultiplier = Annotated[
    float,
    Field(
        gt=0,
        le=4,
        description="Scales every hidden width; 1 is the paper's net, 0.25 a net of the same "
        "depth for a CPU.",
    ),
]


class ReluNetSpec(SpecModel):
    """Fully connected: `depth` hidden layers of `width` ReLU units, then a linear layer."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["relu_net"] = "relu_net"
    width: int = Field(100, ge=1, le=1_000_000, description="Hidden units per layer.")
    depth: int = Field(
        1, ge=1, le=32, description="Hidden layers; the net has depth + 1 weighted layers."
    )


class MlpSpec(SpecModel):
    """Fully connected hidden layers of any widths, then a linear layer.

    Each hidden layer is a linear map, the normalisation and the activation. With equal widths,
    ReLU and no normalisation it is the ReLU-Net of that width.
    """

    name: Literal["mlp"] = "mlp"
    widths: Many[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        (200, 200), min_length=1, max_length=32, description="Hidden units of each layer."
    )
    activation: Literal["relu", "gelu", "tanh"] = Field(
        "relu", description="GELU is the exact one, by the error function."
    )
    norm: Literal["none", "layer", "batch"] = Field(
        "none", description="Normalisation between the linear map and the activation."
    )


class ConvNetSpec(SpecModel):
    """`depth` 3x3 convolutions of `width` channels, then a linear layer.

    Each convolution is followed by a 2x2 max-pool, while the side is > 1, and a ReLU.
    """

    name: Literal["conv_net"] = "conv_net"
    width: int = Field(32, ge=1, le=16_384, description="Channels per layer.")
    depth: int = Field(
        2, ge=1, le=32, description="Convolution layers; the net has depth + 1 weighted layers."
    )


class Vgg5Spec(SpecModel):
    """VGG-5 of Figure 13(a): 5 layers, four convolution blocks and a classifier block."""

    name: Literal["vgg5"] = "vgg5"
    width_multiplier: WidthMultiplier = 1.0
    second_kernel: Literal[1, 3] = Field(
        1,
        description="Kernel size of a block's later convolutions; the parameter count of Figure 1 "
        "implies 3.",
    )
    batch_norm: bool = Field(
        False,
        description="Batch normalisation after each convolution and the first linear layer; the "
        "parameter count of Figure 1 includes it.",
    )


class Vgg11Spec(SpecModel):
    """VGG-11 of Figure 13(b): 8 convolutions and 3 linear layers, 11 layers."""

    name: Literal["vgg11"] = "vgg11"
    width_multiplier: WidthMultiplier = 1.0


class Resnet18Spec(SpecModel):
    """The CIFAR ResNet-18: 3x3 stem, four stages of two basic blocks, batch norm (Figure 1)."""

    name: Literal["resnet18"] = "resnet18"
    width_multiplier: WidthMultiplier = 1.0


class TorchvisionSpec(SpecModel):
    """A classification architecture of torchvision, its head fitted to the classes.

    Layers are found by tracing: what lies between two tensors through which all goes, and holds
    parameters. `GET /models/torchvision` shows them.
    """

    name: Literal["torchvision"] = "torchvision"
    architecture: str = Field(
        "resnet18",
        description="torchvision's name, such as `resnet50`, `vit_b_16`, `convnext_tiny`.",
        json_schema_extra={"enum": list(architectures())},
    )
    weights: str | None = Field(
        None,
        max_length=80,
        description="torchvision's name of pretrained weights, such as `IMAGENET1K_V1`; they "
        "replace what `init` draws, except in the head and in a changed stem. null: none.",
    )
    stem: Literal["imagenet", "small"] = Field(
        "imagenet",
        description="`small` takes small images: the first convolution keeps the side, the pool "
        "after it is left out, patches are a quarter as wide.",
    )

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, architecture: str) -> str:
        if architecture not in architectures():
            raise PydanticCustomError(
                "unknown-architecture",
                "torchvision has no such architecture; did you mean {close}? The field's schema "
                "lists all",
                {"close": " or ".join(closest(architecture, architectures()))},
            )
        return architecture

    @field_validator("weights")
    @classmethod
    def _has_weights(cls, weights: str | None, info: ValidationInfo) -> str | None:
        architecture = info.data.get("architecture")
        if weights is None or architecture is None:
            return weights
        known = architectures()[architecture]
        if weights not in known:
            raise PydanticCustomError(
                "unknown-weights",
                "torchvision has no such weights of {architecture}; it has {known}, and null",
                {"architecture": architecture, "known": ", ".join(known)},
            )
        return weights


class PluginSpec(SpecModel):
    """A net of a plug-in; its own arguments stand beside `name`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    name: str = Field(min_length=1, max_length=64, description="The plug-in's name of it.")
    source: str | None = Field(
        None,
        max_length=200,
        description="Identity of the plug-in's code; set at submission. Changed code is another "
        "net.",
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the plug-in's function."""
        return dict(self.__pydantic_extra__)


DescribedSpec = TorchvisionSpec | PluginSpec
"""Nets whose layers are found by tracing, which needs torch"""

PlannedSpec = ReluNetSpec | MlpSpec | ConvNetSpec | Vgg5Spec | Vgg11Spec | Resnet18Spec
"""Nets whose layers are known by arithmetic"""

_BUILT_IN = (ReluNetSpec, MlpSpec, ConvNetSpec, Vgg5Spec, Vgg11Spec, Resnet18Spec, TorchvisionSpec)
BUILT_IN_MODELS = frozenset(str(one.model_fields["name"].default) for one in _BUILT_IN)


def _tag_of(model: Any) -> str:
    name = model.get("name") if isinstance(model, dict) else getattr(model, "name", None)
    return name if isinstance(name, str) and name in BUILT_IN_MODELS else "<plug-in>"


ModelSpec = Annotated[
    Annotated[ReluNetSpec, Tag("relu_net")]
    | Annotated[MlpSpec, Tag("mlp")]
    | Annotated[ConvNetSpec, Tag("conv_net")]
    | Annotated[Vgg5Spec, Tag("vgg5")]
    | Annotated[Vgg11Spec, Tag("vgg11")]
    | Annotated[Resnet18Spec, Tag("resnet18")]
    | Annotated[TorchvisionSpec, Tag("torchvision")]
    | Annotated[PluginSpec, Tag("<plug-in>")],
    Discriminator(_tag_of),
]


def closest(name: str, known: Collection[str]) -> list[str]:
    """Up to three of the known names that look like `name`, at least one."""
    return get_close_matches(name, known, n=3) or sorted(known)[:1]


Gain = Annotated[
    float,
    Field(
        gt=0,
        le=1_000,
        description="Scales the standard deviation; large values are lazy, small ones rich.",
    ),
]


LayerGains = Annotated[
    Many[Gain],
    Field(
        max_length=1_000,
        description="A factor of the standard deviation for each layer, from the input up, beside "
        "`gain`: as many as the net has layers. Empty: 1 for all.",
    ),
]


class XavierSpec(SpecModel):
    """Weights ~ N(0, gain^2 * 2 / (fan_in + fan_out)), biases zero."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["xavier"] = "xavier"
    gain: Gain = 1.0
    layer_gains: LayerGains = ()


class HeSpec(SpecModel):
    """Weights ~ N(0, gain^2 * 2 / fan_in), biases zero (arXiv 1502.01852)."""

    name: Literal["he"] = "he"
    gain: Gain = 1.0
    layer_gains: LayerGains = ()


class LecunSpec(SpecModel):
    """Weights ~ N(0, gain^2 / fan_in), biases zero (LeCun et al., Efficient BackProp, 1998)."""

    name: Literal["lecun"] = "lecun"
    gain: Gain = 1.0
    layer_gains: LayerGains = ()


class TorchInitSpec(SpecModel):
    """What torch's modules draw when they are made, in the order of the net, under the seed.

    Of linear maps and convolutions weights and biases are uniform in +-1 / sqrt(fan_in).
    """

    name: Literal["torch"] = "torch"


class PretrainedSpec(SpecModel):
    """ImageNet weights of torchvision's VGG-11 in the eight convolutions.

    The linear layers, whose sizes differ, are drawn as by Xavier.
    """

    name: Literal["pretrained"] = "pretrained"
    gain: float = Field(
        1.0, gt=0, le=1_000, description="Scales the standard deviation of the linear layers."
    )


class CheckpointSpec(SpecModel):
    """Start from a checkpoint of the same model: of an earlier run, or uploaded."""

    name: Literal["checkpoint"] = "checkpoint"
    checkpoint: str = Field(
        min_length=1,
        max_length=200,
        description="Id of a theta artifact or of an uploaded checkpoint (POST /checkpoints); "
        "without the service, a path.",
    )


DrawnSpec = XavierSpec | HeSpec | LecunSpec
"""Weights of a normal distribution, whose deviation each layer can scale"""

InitSpec = Annotated[
    XavierSpec | HeSpec | LecunSpec | TorchInitSpec | PretrainedSpec | CheckpointSpec,
    Field(discriminator="name"),
]


class OutputScaleSpec(SpecModel):
    """The net's output f is replaced by h = alpha (f - f_0), and the loss divided by alpha^2.

    f_0 is the output of the initial net. With a large alpha the weights hardly move, and the net
    trains in the lazy regime; a small alpha is rich (arXiv 1812.07956).
    """

    alpha: float = Field(1.0, gt=0, le=10_000, description="Factor of the output.")
    centred: bool = Field(
        True, description="Whether f_0 is subtracted, so that the training starts from h = 0."
    )


def find_given_start(model: ModelSpec, init: InitSpec) -> str | None:
    """What the net starts from, where that is given; None where its weights are drawn."""
    if isinstance(init, CheckpointSpec | PretrainedSpec):
        return f"init {init.name!r}"
    weights = model.weights if isinstance(model, TorchvisionSpec) else None
    return None if weights is None else f"the pretrained weights {weights!r}"


def find_weights_file(model: ModelSpec, init: InitSpec) -> str | None:
    """Torchvision's file of the pretrained weights that the net starts from; None without any."""
    if isinstance(init, PretrainedSpec):
        return architectures()["vgg11"]["IMAGENET1K_V1"]
    if isinstance(init, CheckpointSpec) or not isinstance(model, TorchvisionSpec):
        return None
    return None if model.weights is None else architectures()[model.architecture][model.weights]


def validate_model(
    model: ModelSpec, init: InitSpec, info: DatasetInfo, pointer: str = "#/spec"
) -> list[FieldError]:
    """An error for each mismatch of the model, its initialisation and the data."""
    if not isinstance(init, PretrainedSpec):
        return []
    reasons = []
    if not isinstance(model, Vgg11Spec):
        reasons.append(f"the model is {model.name!r}")
    elif model.width_multiplier != 1:
        reasons.append(f"width_multiplier is {model.width_multiplier:g}")
    if info.shape[0] != 3:
        reasons.append(f"the images of {info.name!r} have {info.shape[0]} channel(s)")
    if not reasons:
        return []
    detail = (
        "pretrained weights fit 'vgg11' with width_multiplier 1 on images of 3 channels, "
        f"but {' and '.join(reasons)}; use 'xavier' or a checkpoint"
    )
    return [FieldError(f"{pointer}/init", "pretrained-mismatch", detail)]
