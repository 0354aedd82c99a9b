"""What a user submits, and what a preview answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StringConstraints, field_validator

from engine.spec import Execution, Seed
from schemas.base import Request, Resource
from schemas.webhooks import Webhook


class Keep(StrEnum):
    """Which checkpoints stay once an experiment is over."""

    ALL = "all"
    """theta_0 and theta_T of every seed"""
    LAST = "last"
    """theta_T of every seed"""
    BEST = "best"
    """theta_T of each point's seed with the highest test accuracy"""
    NONE = "none"


Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Submission(Request):
    """One experiment: a spec, the axes it is swept over, and the seeds it is repeated with."""

    spec: dict[str, Any] = Field(
        description="The spec of one kind, chosen by its `kind`; see GET /kinds."
    )
    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        max_length=8,
        description="Dotted paths of the spec and their values; the points are the product, in the order given.",
    )
    seeds: Annotated[list[Seed], Strict(False)] = Field(
        default=[0],
        min_length=1,
        max_length=1_000,
        description="Every point is repeated with each of these.",
    )
    execution: Execution = Execution()
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=32)
    priority: int = Field(
        0,
        ge=-10,
        le=10,
        description="Among the runs of one owner: a step is worth an hour of waiting.",
    )
    max_seconds: int | None = Field(
        None,
        ge=1,
        le=30 * 24 * 3600,
        description="A run that has computed for longer fails with `timeout`.",
    )
    keep: Annotated[Keep, Strict(False)] = Field(
        Keep.ALL,
        description="Checkpoints that stay once the experiment is over: `all` (theta_0 and theta_T of every seed), "
        "`last` (theta_T), `best` (theta_T of each point's best seed), `none`.",
    )
    reuse: bool = Field(
        True,
        description="Answer with an identical experiment, and load trainings that are already done.",
    )
    webhook: Webhook | None = Field(
        None,
        description="Told, by a signed POST, when the experiment succeeds, fails or is cancelled.",
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("seeds must be distinct")
        return seeds


class Extension(Request):
    """What is added to an experiment; what it has already is not run again."""

    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        max_length=8,
        description="More values of axes that the experiment sweeps.",
    )
    seeds: Annotated[list[Seed], Strict(False)] = Field(
        default_factory=list, max_length=1_000, description="More seeds, for every point."
    )


class ReusedTraining(Resource):
    """One seed's training that is loaded instead of repeated."""

    point: int
    """Index of the point"""
    seed: int
    run_id: str
    """The run, of whatever kind of experiment, that has done it; it may have been deleted since."""


class PreviewPoint(Resource):
    index: int
    values: dict[str, Any]
    spec: dict[str, Any]
    digest: str
    parameters: int
    flops: float
    memory_bytes: int
    seconds: float
    basis: Literal["measured", "model"]
    reused_seeds: list[int]
    """Seeds whose training is already done and would be loaded."""
    reused: list[ReusedTraining]
    """The same, with the run that each would be taken from."""


class Preview(Resource):
    """What a submission would do; nothing has been started."""

    points: list[PreviewPoint]
    num_runs: int
    num_seeds: int
    parameters: int
    flops: float
    memory_bytes: int
    """Of the largest run."""
    seconds: float
    """Device seconds of all runs together, as if nothing were reused."""
    basis: Literal["measured", "model"]
    reuses_experiment: str | None
    """An identical experiment that would be answered instead."""
    warnings: list[str]
