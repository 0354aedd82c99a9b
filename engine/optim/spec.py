"""The optimiser, schedule and loss of a spec (paper, Section 3)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.span import Span
from engine.spec_model import SpecModel

LearningRate = Annotated[float, Field(gt=0, le=100, description="Step size.")]
WeightDecay = Annotated[
    float, Field(ge=0, le=10, description="L2 penalty added to the gradient of trained layers.")
]


class AdamSpec(SpecModel):
    """Adam (Kingma & Ba) without amsgrad."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["adam"] = "adam"
    lr: LearningRate = 0.001
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0, le=1)
    weight_decay: WeightDecay = 0.0


class AdamWSpec(SpecModel):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101), as in torch."""

    name: Literal["adamw"] = "adamw"
    lr: LearningRate = 0.001
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0, le=1)
    weight_decay: float = Field(
        0.01,
        ge=0,
        le=10,
        description="Each step multiplies the decayed weights of trained layers by "
        "1 - lr * weight_decay.",
    )
    decay: Literal["all", "matrices"] = Field(
        "all",
        description="What decays: `all` parameters, or only `matrices`, the weights of linear maps "
        "and convolutions, but not biases, scales and shifts.",
    )


class SgdSpec(SpecModel):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: LearningRate = 0.01
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = Field(
        True, description="Nesterov momentum; without momentum it has no effect."
    )
    weight_decay: WeightDecay = 0.0


OptimizerSpec = Annotated[AdamSpec | AdamWSpec | SgdSpec, Field(discriminator="name")]

Warmup = Annotated[
    Span | None,
    Field(
        description="The learning rate first rises linearly, step by step, to its full value: for "
        '`{"steps": n}` or `{"epochs": n}`.',
    ),
]


class ConstantSpec(SpecModel):
    """A constant learning rate."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["constant"] = "constant"
    warmup: Warmup = None


class StepSpec(SpecModel):
    """The learning rate is multiplied by `factor` after every `every_epochs` epochs."""

    name: Literal["step"] = "step"
    every_epochs: int = Field(30, ge=1, le=10_000)
    factor: float = Field(0.5, gt=0, le=1)
    warmup: Warmup = None


class CosineSpec(SpecModel):
    """The learning rate falls by half a cosine from step to step (arXiv 1608.03983).

    It does not restart: it begins after the warm-up and ends with the training.
    """

    name: Literal["cosine"] = "cosine"
    final: float = Field(
        0.0, ge=0, le=1, description="Share of the learning rate that is left at the end."
    )
    warmup: Warmup = None


ScheduleSpec = Annotated[ConstantSpec | StepSpec | CosineSpec, Field(discriminator="name")]


class CrossEntropySpec(SpecModel):
    """Cross-entropy of the softmax of the logits."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the target that is spread equally over all classes "
        "(arXiv 1512.00567).",
    )


class MseSpec(SpecModel):
    """Mean squared error of the logits against the label as 0 and 1, over all classes."""

    name: Literal["mse"] = "mse"


LossSpec = Annotated[CrossEntropySpec | MseSpec, Field(discriminator="name")]
