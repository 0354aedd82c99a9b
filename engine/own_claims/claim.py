"""One claim that a submission makes of its own experiment."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from engine.spec_model import Many, SpecModel

MAX_CLAIMS = 20
"""Of one experiment"""
BOUNDS = ("at_least", "at_most", "within")
ONE_BOUND = "one-bound"
ONE_BOUND_DETAIL = "give exactly one of at_least, at_most and within"
EQUAL_POINTS = "equal-points"
EQUAL_POINTS_DETAIL = "must be another point than `point`"

PointIndex = Annotated[int, Field(ge=0, le=2**31 - 1)]


class OwnClaim(SpecModel):
    """What is expected of one quantity: its mean over seeds at a point, or a difference of two."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    quantity: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="A number of the kind's results, such as `test_accuracy`: as in tables, plots "
        "of sweeps and comparisons of experiments."
    )
    point: PointIndex = Field(0, description="Index of the point, as in a preview and in its runs.")
    versus: PointIndex | None = Field(
        None,
        description="Index of another point: the claim is then about the difference, `point` less "
        "`versus`, paired by seed.",
    )
    at_least: float | None = Field(
        None, description="In the unit of the results: an accuracy is between 0 and 1."
    )
    at_most: float | None = None
    within: Annotated[Many[float], Field(min_length=2, max_length=2)] | None = Field(
        None, description="`[low, high]`, both included."
    )

    @field_validator("versus")
    @classmethod
    def _differs_from_point(cls, versus: int | None, info: ValidationInfo) -> int | None:
        if versus is not None and versus == info.data.get("point"):
            raise PydanticCustomError(EQUAL_POINTS, EQUAL_POINTS_DETAIL)
        return versus

    @field_validator("within")
    @classmethod
    def _low_is_below_high(cls, within: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if within is not None and within[0] >= within[1]:
            raise PydanticCustomError(
                "not-ascending",
                "{low} is not below {high}; name the lower number first",
                {"low": within[0], "high": within[1]},
            )
        return within

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if sum(getattr(self, name) is not None for name in BOUNDS) != 1:
            raise PydanticCustomError(ONE_BOUND, ONE_BOUND_DETAIL)
        return self

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """(lowest, highest) value that the claim allows; None for no bound."""
        if self.within is not None:
            return self.within[0], self.within[1]
        return self.at_least, self.at_most

    def to_json(self) -> dict[str, Any]:
        """The claim as it was submitted: fields that say nothing are left out."""
        return self.model_dump(mode="json", exclude_none=True)
