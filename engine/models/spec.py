"""The model and initialisation parts of a spec (paper, Section 3 and Figure 13)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.spec_model import SpecModel

WidthMultiplier = Annotated[
    float,
    Field(
        gt=0,
        le=4,
        description="Scales every hidden width; 1 is the paper's net, 0.25 a CPU-sized one of the same depth.",
    ),
]


class ReluNetSpec(SpecModel):
    """Fully connected: `depth` hidden layers of `width` ReLU units, then a linear layer."""

    name: Literal["relu_net"] = "relu_net"
    width: int = Field(100, ge=1, le=1_000_000, description="Hidden units a layer.")
    depth: int = Field(
        1, ge=1, le=32, description="Hidden layers; the net has depth + 1 weighted layers."
    )


class ConvNetSpec(SpecModel):
    """`depth` 3x3 convolutions of `width` channels, each with ReLU and a 2x2 max-pool while the side is > 1, then a linear layer."""

    name: Literal["conv_net"] = "conv_net"
    width: int = Field(32, ge=1, le=16_384, description="Channels a layer.")
    depth: int = Field(
        2, ge=1, le=32, description="Convolution layers; the net has depth + 1 weighted layers."
    )


class Vgg5Spec(SpecModel):
    """VGG-5 of Figure 13(a): four conv blocks and a classifier block make its 5 layers."""

    name: Literal["vgg5"] = "vgg5"
    width_multiplier: WidthMultiplier = 1.0
    second_kernel: Literal[1, 3] = Field(
        1, description="Kernel size of a block's later convolutions; Figure 1 counts 3."
    )
    batch_norm: bool = Field(
        False,
        description="Batch normalisation after each convolution and the first linear layer; Figure 1 counts it.",
    )


class Vgg11Spec(SpecModel):
    """VGG-11 of Figure 13(b): 8 convolutions and 3 linear layers, 11 layers."""

    name: Literal["vgg11"] = "vgg11"
    width_multiplier: WidthMultiplier = 1.0


class Resnet18Spec(SpecModel):
    """The CIFAR ResNet-18: 3x3 stem, four stages of two basic blocks, batch normalisation (Figure 1)."""

    name: Literal["resnet18"] = "resnet18"
    width_multiplier: WidthMultiplier = 1.0


ModelSpec = Annotated[
    ReluNetSpec | ConvNetSpec | Vgg5Spec | Vgg11Spec | Resnet18Spec, Field(discriminator="name")
]


class XavierSpec(SpecModel):
    """Weights ~ N(0, gain^2 * 2 / (fan_in + fan_out)), biases zero."""

    name: Literal["xavier"] = "xavier"
    gain: float = Field(
        1.0,
        gt=0,
        le=1_000,
        description="Scales the standard deviation; large is lazy, small is rich.",
    )


class PretrainedSpec(SpecModel):
    """ImageNet weights of torchvision's VGG-11 in the eight convolutions; Xavier in the linear layers, whose sizes differ."""

    name: Literal["pretrained"] = "pretrained"
    gain: float = Field(
        1.0, gt=0, le=1_000, description="Scales the standard deviation of the linear layers."
    )


class CheckpointSpec(SpecModel):
    """Start from an earlier run's checkpoint of the same model, or from one that was brought along."""

    name: Literal["checkpoint"] = "checkpoint"
    checkpoint: str = Field(
        min_length=1,
        max_length=200,
        description="Id of a theta file among the artifacts, or of POST /checkpoints (in the engine alone: its path).",
    )


InitSpec = Annotated[XavierSpec | PretrainedSpec | CheckpointSpec, Field(discriminator="name")]


def validate_model(
    model: ModelSpec, init: InitSpec, info: DatasetInfo, pointer: str = "#/spec"
) -> list[FieldError]:
    """What does not fit together in the model, its initialisation and the data; empty where all does."""
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
