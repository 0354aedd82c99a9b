"""The spec of active and lazy re-initialisation (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from engine.analysis.fractions import Mode, default_grid, is_ascending
from engine.models.spec import ReluNetSpec
from engine.spec import ExperimentSpec, Work
from engine.spec_model import Many

MAX_FRACTIONS = 254
"""The most cuts that one pass over the parameters can make."""
SHARED_EVALUATION = 0.45
"""Cost of one mixture of a ReLU-Net with one hidden layer, in evaluations of the net.

Less than 1 because mixtures share the first layer's product.
"""
SWEEP_BYTES = 16
"""Memory per parameter beyond training: both nets as vectors, their difference and its order."""

Percent = Annotated[float, Field(ge=0, le=100)]


class ReinitSweepSpec(ExperimentSpec):
    """Train, then reset the parameters that moved most, or all others, to their initial values.

    Measures the test accuracy of each such net.
    """

    kind: Literal["reinit_sweep"] = "reinit_sweep"
    modes: Many[Mode] = Field(
        ("active", "lazy"),
        min_length=1,
        max_length=2,
        description=(
            "`active` resets the fraction that moved most; `lazy` keeps it at its trained values "
            "and resets all others."
        ),
    )
    fractions_percent: Many[Percent] = Field(
        default_grid(),
        min_length=1,
        max_length=MAX_FRACTIONS,
        description=(
            "gamma (active) and epsilon (lazy): percent of all parameters, strictly ascending."
        ),
    )

    @field_validator("modes")
    @classmethod
    def _modes_are_distinct(cls, modes: tuple[Mode, ...]) -> tuple[Mode, ...]:
        if len(set(modes)) < len(modes):
            raise PydanticCustomError("repeated", "each mode may occur only once")
        return modes

    @field_validator("fractions_percent")
    @classmethod
    def _fractions_ascend(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if not is_ascending(fractions):
            raise PydanticCustomError("not-ascending", "the fractions must be strictly ascending")
        return fractions

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the modes and fractions, whose evaluations `work` counts."""
        speed = super().describe_speed(spec)
        return {
            name: value
            for name, value in speed.items()
            if name not in ("modes", "fractions_percent")
        }

    def work(self) -> Work:
        """The test set once for each fraction and mode; less where they share a product."""
        mixtures = len(self.modes) * len(self.fractions_percent)
        if isinstance(self.model, ReluNetSpec) and self.model.depth == 1:
            mixtures = ceil(SHARED_EVALUATION * mixtures)
        return Work(test_evaluations=mixtures, bytes_per_parameter=SWEEP_BYTES)
