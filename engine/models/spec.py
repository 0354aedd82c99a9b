"""The model and initialisation parts of a spec (paper, Section 3 and Figure 13)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
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


ModelSpec = Annotated[
    ReluNetSpec | MlpSpec | ConvNetSpec | Vgg5Spec | Vgg11Spec | Resnet18Spec,
    Field(discriminator="name"),
]


Gain = Annotated[
    float,
    Field(
        gt=0,
        le=1_000,
        description="Scales the standard deviation; large values are lazy, small ones rich.",
    ),
]


class XavierSpec(SpecModel):
    """Weights ~ N(0, gain^2 * 2 / (fan_in + fan_out)), biases zero."""

    name: Literal["xavier"] = "xavier"
    gain: Gain = 1.0


class HeSpec(SpecModel):
    """Weights ~ N(0, gain^2 * 2 / fan_in), biases zero (arXiv 1502.01852)."""

    name: Literal["he"] = "he"
    gain: Gain = 1.0


class LecunSpec(SpecModel):
    """Weights ~ N(0, gain^2 / fan_in), biases zero (LeCun et al., Efficient BackProp, 1998)."""

    name: Literal["lecun"] = "lecun"
    gain: Gain = 1.0


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


InitSpec = Annotated[
    XavierSpec | HeSpec | LecunSpec | TorchInitSpec | PretrainedSpec | CheckpointSpec,
    Field(discriminator="name"),
]


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
