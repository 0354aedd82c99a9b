"""The optimiser and schedule parts of a spec (paper, Section 3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.spec_model import SpecModel

LearningRate = Annotated[float, Field(gt=0, le=100, description="Step size.")]
WeightDecay = Annotated[
    float, Field(ge=0, le=10, description="L2 penalty added to the gradient of trained layers.")
]


class AdamSpec(SpecModel):
    """Adam (Kingma & Ba) without amsgrad."""

    name: Literal["adam"] = "adam"
    lr: LearningRate = 0.001
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0, le=1)
    weight_decay: WeightDecay = 0.0


class SgdSpec(SpecModel):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: LearningRate = 0.01
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = Field(
        True, description="Nesterov momentum; without momentum it has no effect."
    )
    weight_decay: WeightDecay = 0.0


OptimizerSpec = Annotated[AdamSpec | SgdSpec, Field(discriminator="name")]


class ConstantSpec(SpecModel):
    """A constant learning rate."""

    name: Literal["constant"] = "constant"


class StepSpec(SpecModel):
    """The learning rate is multiplied by `factor` after every `every_epochs` epochs."""

    name: Literal["step"] = "step"
    every_epochs: int = Field(30, ge=1, le=10_000)
    factor: float = Field(0.5, gt=0, le=1)


ScheduleSpec = Annotated[ConstantSpec | StepSpec, Field(discriminator="name")]
