"""Seeds that an experiment adds by itself until the verdicts on its claims are decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from engine.analysis.stats import MIN_SEEDS
from engine.paper.looks import confidence_of_look, count_looks
from schemas.base import Request, Resource

MAX_SEEDS = 1_000
"""Of one experiment"""
MOST_BY_DEFAULT = 40


class SeedsUntilDecided(Request):
    """Seeds 0, 1, 2, ...: the first ones, and more until every verdict is decided."""

    until: Literal["decided"]
    first: int = Field(
        5,
        ge=MIN_SEEDS,
        le=MAX_SEEDS,
        description="Seeds at the first look at the verdicts; a verdict needs 3.",
    )
    step: int = Field(5, ge=1, le=MAX_SEEDS, description="Seeds that are added after each look.")
    at_most: int = Field(
        MOST_BY_DEFAULT,
        ge=MIN_SEEDS,
        le=MAX_SEEDS,
        description="The most seeds, `first` or more.",
    )

    @field_validator("at_most")
    @classmethod
    def _at_least_first(cls, at_most: int, info: ValidationInfo) -> int:
        first = info.data.get("first")
        if first is not None and at_most < first:
            raise ValueError(
                f"must be at least `first`, {first:,}, and is {MOST_BY_DEFAULT} if it is left out; "
                "name a larger `at_most`, or a smaller `first`"
            )
        return at_most


class PlanEnd(StrEnum):
    """Why an experiment adds no more seeds."""

    DECIDED = "decided"
    """Every verdict is decided."""
    UNDECIDABLE = "undecidable"
    """No number of seeds decides the verdicts that are inconclusive, as their reasons say."""
    AT_MOST = "at_most"
    """It has the most seeds of its plan."""
    MAX_SECONDS = "max_seconds"
    """Its runs with the next ones would compute for longer than `max_seconds`."""
    FILES_DELETED = "files_deleted"
    """A data set or a checkpoint that it needs was deleted."""
    CANCELLED = "cancelled"


class SeedPlan(Resource):
    """How an experiment adds seeds until its verdicts are decided, and how far it is."""

    until: Literal["decided"] = "decided"
    first: int
    step: int
    at_most: int
    looks_planned: Annotated[int, Field(ge=1, le=MAX_SEEDS)]
    """K: the looks at the verdicts if the experiment takes all its seeds."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Of the intervals at each look, 1 - 0.05 / K: all looks together err in at most 5 %."""
    looks_made: Annotated[int, Field(ge=0, le=MAX_SEEDS)] = 0
    ended: PlanEnd | None = None
    """Null while it may add seeds."""

    @classmethod
    def of(cls, seeds: SeedsUntilDecided) -> Self:
        """The plan of a submission, before its first look."""
        num_looks = count_looks(seeds.first, seeds.step, seeds.at_most)
        return cls(
            first=seeds.first,
            step=seeds.step,
            at_most=seeds.at_most,
            looks_planned=num_looks,
            confidence=confidence_of_look(num_looks),
        )

    @property
    def asked(self) -> SeedsUntilDecided:
        """The `seeds` of the submission."""
        return SeedsUntilDecided(
            until=self.until, first=self.first, step=self.step, at_most=self.at_most
        )

    def describe(self) -> str:
        """How many looks at the verdicts were planned and made, and at which confidence."""
        percent = f"{100 * self.confidence:.4g}"
        return (
            f"Looks at the verdicts: {self.looks_planned} planned, {self.looks_made} made. "
            f"Each uses intervals of {percent} %, so that all of them together leave out the "
            "true value in at most 5 % of experiments."
        )


def read_seed_plan(stored: SeedPlan | Mapping[str, Any] | None) -> SeedPlan | None:
    """The plan of an experiment, also as it is stored; None where its seeds are a list."""
    return None if stored is None else SeedPlan.model_validate(stored)
