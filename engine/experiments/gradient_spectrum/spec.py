"""The spec of the gradient spectrum (paper, Section 1 and Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.spec import ExperimentSpec, Work, step_too_late
from engine.spec_model import Many, require_ascending

Step = Annotated[int, Field(ge=1)]


class GradientSpectrumSpec(ExperimentSpec):
    """Sort the components of a mini-batch gradient by magnitude at chosen steps of a training."""

    loads_trainings: ClassVar[bool] = False

    kind: Literal["gradient_spectrum"] = "gradient_spectrum"
    steps: Many[Step] = Field(
        (1, 10, 30),
        min_length=1,
        max_length=32,
        description=(
            "Optimiser steps whose gradient is measured, counted from 1 over the whole training "
            "and ascending. The gradient of step 1 is taken at initialisation."
        ),
    )

    _steps_ascend = field_validator("steps")(require_ascending)

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also an error for every measured step beyond the training."""
        total = self.num_steps(info)
        return super().check_data(info) + [
            step_too_late(f"#/spec/steps/{index}", step, total)
            for index, step in enumerate(self.steps)
            if step > total
        ]

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the steps, which `work` counts."""
        speed = super().describe_speed(spec)
        return {name: value for name, value in speed.items() if name != "steps"}

    def work(self, info: DatasetInfo) -> Work:
        return Work(bytes_per_parameter=4 * len(self.steps), sorted_per_parameter=len(self.steps))
