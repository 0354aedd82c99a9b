"""The spec of the activity map (paper, Section 5)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from engine.analysis.fractions import percent_key
from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.spec import ExperimentSpec, Work
from engine.spec_model import Many, find_not_ascending, refuse

SELECTION_BYTES = 24
"""Bytes per parameter: a gradient, its copy as a vector, the selection of its largest part."""

AlphaPercent = Annotated[float, Field(gt=0, le=100)]


class ActivityMapSpec(ExperimentSpec):
    """Count how often each parameter's gradient over the train set is among the largest.

    The gradient is taken at the end of each epoch.
    """

    loads_trainings: ClassVar[bool] = False

    kind: Literal["activity_map"] = "activity_map"
    alphas_percent: Many[AlphaPercent] = Field(
        (1.0, 10.0, 30.0),
        min_length=1,
        max_length=8,
        description=(
            "Shares of all parameters that count as active, in percent and ascending; one training "
            "counts all of them."
        ),
    )

    epochs: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Passes over the train set; at least 1, as the map counts one gradient each.",
    )

    @field_validator("alphas_percent")
    @classmethod
    def _ascend(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        errors = find_not_ascending(alphas) or [
            FieldError(
                str(index),
                "not-distinct",
                f"{alpha} equals {before} in its first six digits; leave one of them out",
            )
            for index, (before, alpha) in enumerate(pairwise(alphas), start=1)
            if percent_key(alpha) == percent_key(before)
        ]
        refuse(cls, errors)
        return alphas

    def work(self, info: DatasetInfo) -> Work:
        return Work(
            full_gradients=self.epochs,
            bytes_per_parameter=len(self.alphas_percent) * (1 if self.epochs <= 255 else 2),
            scratch_bytes_per_parameter=SELECTION_BYTES,
        )
