"""Submissions, extensions and previews."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StringConstraints, field_validator

from engine.own_claims.claim import MAX_CLAIMS, OwnClaim
from engine.spec import Execution, Seed
from engine.spec_model import LIST, OBJECT, one_of, require_distinct
from engine.sweep import MAX_AXES
from schemas.base import Request, Resource
from schemas.seed_plan import MAX_SEEDS, SeedPlan, SeedsUntilDecided
from schemas.webhooks import Webhook


class Keep(StrEnum):
    """Which checkpoints are kept when the experiment has ended.

    Those of the spec's field `checkpoints` always are.
    """

    ALL = "all"
    """theta_0 and theta_T of every seed"""
    LAST = "last"
    """theta_T of every seed"""
    BEST = "best"
    """theta_T of each point's seed with the highest test accuracy"""
    NONE = "none"


MAX_LABELS = 32
"""Of one experiment"""
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
SeedList = Annotated[list[Seed], Strict(False), Field(min_length=1, max_length=MAX_SEEDS)]


class Submission(Request):
    """One experiment: a spec, the fields to sweep, and the seeds of the repetitions."""

    spec: dict[str, Any] = Field(
        description="The spec of one kind, chosen by its `kind`; see GET /kinds."
    )
    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        max_length=MAX_AXES,
        description="Dotted paths of spec fields and their values. The points are the product of "
        "the values, in the given order.",
    )
    seeds: Annotated[
        Annotated[SeedList, LIST] | Annotated[SeedsUntilDecided, OBJECT],
        one_of('a list of seeds like [0, 1, 2], or {"until": "decided"}'),
    ] = Field(
        default=[0],
        description="Every point is computed with each seed. Instead of a list, where there are "
        'claims of the paper or in `claims`: `{"until": "decided"}`, which adds seeds until the '
        "verdicts are decided.",
    )
    claims: Annotated[list[OwnClaim], Strict(False)] = Field(
        default_factory=list,
        max_length=MAX_CLAIMS,
        description="What you expect, stated in advance: means over seeds of quantities at points, "
        "or differences of two points. The comparison has a verdict on each.",
    )
    execution: Execution = Execution()
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=MAX_LABELS)
    priority: int = Field(
        0,
        ge=-10,
        le=10,
        description="Orders the runs of one owner: one step counts as an hour of waiting.",
    )
    max_seconds: int | None = Field(
        None,
        ge=1,
        le=30 * 24 * 3600,
        description="A run that computes for longer fails with `timeout`. With seeds until the "
        "verdicts are decided, none are added with which all runs would compute for longer.",
    )
    keep: Annotated[Keep, Strict(False)] = Field(
        Keep.ALL,
        description="Checkpoints to keep when the experiment has ended: `all` (theta_0 and theta_T "
        "of every seed), `last` (theta_T), `best` (theta_T of each point's best seed), `none`. "
        "Those of the spec's field `checkpoints` are always kept.",
    )
    reuse: bool = Field(
        True,
        description="Return an identical experiment if there is one, and load finished trainings.",
    )
    webhook: Webhook | None = Field(
        None,
        description="Receives a signed POST when the experiment succeeds, fails or is cancelled.",
    )

    _seeds_are_distinct = field_validator("seeds")(require_distinct)

    @property
    def first_seeds(self) -> list[int]:
        """The seeds with which the experiment starts."""
        if isinstance(self.seeds, SeedsUntilDecided):
            return list(range(self.seeds.first))
        return list(self.seeds)

    @property
    def seed_plan(self) -> SeedPlan | None:
        """How it adds more; None for a list of seeds."""
        return SeedPlan.of(self.seeds) if isinstance(self.seeds, SeedsUntilDecided) else None


class Extension(Request):
    """Seeds and sweep values to add; those that the experiment has are not computed again."""

    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        max_length=MAX_AXES,
        description="More values of fields that the experiment sweeps.",
    )
    seeds: Annotated[list[Seed], Strict(False)] = Field(
        default_factory=list, max_length=MAX_SEEDS, description="More seeds, for every point."
    )


class ReusedTraining(Resource):
    """A training of one seed that is loaded instead of repeated."""

    point: int
    """Index of the point."""
    seed: int
    run_id: str
    """The run that did the training; it may be of another kind, and deleted by now."""


class PreviewPoint(Resource):
    index: int
    values: dict[str, Any]
    spec: dict[str, Any]
    digest: str
    parameters: int
    flops: float
    memory_bytes: int
    seconds: float
    probe_seconds: float = 0.0
    """Of `seconds`, those of the spec's `probes`."""
    basis: Literal["measured", "model"]
    trained_by: int | None
    """The index of the point whose trainings this one loads, as both train the same net.

    None where it loads finished trainings for all its seeds.
    """
    reused_seeds: list[int]
    """Seeds whose finished training would be loaded."""
    reused: list[ReusedTraining]
    """The same, with the run of each training."""


class PreviewGrowth(Resource):
    """What an experiment that adds seeds until its verdicts are decided may become."""

    looks_planned: int
    """K: the looks at the verdicts if it takes all its seeds."""
    confidence: float
    """Of the intervals at each look, 1 - 0.05 / K."""
    num_seeds: int
    """The most, like `num_runs`, `flops` and `seconds`."""
    num_runs: int
    flops: float
    seconds: float


class Preview(Resource):
    """What a submission would do; nothing is started.

    With seeds until the verdicts are decided, the numbers are those of the first look.
    """

    points: list[PreviewPoint]
    num_runs: int
    num_seeds: int
    parameters: int
    flops: float
    memory_bytes: int
    """Of the largest run."""
    seconds: float
    """Device seconds of all runs together. A training that is loaded takes none, like its FLOPs."""
    probe_seconds: float = 0.0
    """Of `seconds`, those of `probes`."""
    basis: Literal["measured", "model"]
    growth: PreviewGrowth | None = None
    """The most that it may become; null for a list of seeds."""
    reuses_experiment: str | None
    """Id of an identical experiment that would be returned instead."""
    warnings: list[str]
    departures: list[str]
    """What differs from the paper in the first 100 points, where the kind's results are compared
    with its claims; each verdict tells them again."""
