"""`bundle.json`: the description of an exported experiment, which another service can import."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from engine.spec import Seed
from schemas.base import Resource, UtcDatetime
from schemas.resources import MAX_NOTES
from schemas.seed_plan import MAX_SEEDS, SeedPlan
from schemas.status import FailureReason, RunStatus

BUNDLE_FILE = "bundle.json"
METRICS_FILE = "metrics.csv"
CHECKSUM_FILE = "SHA256SUMS"

ExperimentId = Annotated[str, StringConstraints(pattern=r"^exp_[0-9a-z]{1,36}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class BundledFile(Resource):
    """A stored file of a run."""

    path: Annotated[str, StringConstraints(max_length=500)]
    """Its entry in the zip archive."""
    role: Literal["checkpoint", "artifact"]
    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,200}$")]
    seed: Count | None
    epoch: Count | None
    media_type: Annotated[str, StringConstraints(pattern=r"^[\w.+-]{1,60}/[\w.+-]{1,39}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: int


class BundledRun(Resource):
    """A terminal run."""

    point: Count
    seeds: Annotated[list[Count], Field(min_length=1)]
    status: RunStatus
    attempts: Count
    interruptions: Count
    reason: FailureReason | None
    detail: Annotated[str, StringConstraints(max_length=10_000)] | None
    device: ShortText | None
    elapsed_seconds: Annotated[float, Field(ge=0, le=1e9)]
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    manifest: dict[str, Any] | None
    result: list[dict[str, Any]] | None
    """One result per seed, of the kind's `seed_result` type."""
    files: list[BundledFile]


class BundledPoint(Resource):
    """A point of the sweep; its place in the list is its index."""

    values: dict[str, Any]
    spec: dict[str, Any]


class Bundle(Resource):
    """A terminal experiment."""

    format: Literal[1]
    experiment_id: ExperimentId
    body: dict[str, Any]
    """The submission."""
    notes: Annotated[str, StringConstraints(max_length=MAX_NOTES)] | None = None
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MAX_SEEDS)] | None = None
    """All that it has come to, where the submission has a plan instead; else null."""
    seed_plan: SeedPlan | None = None
    """The same plan, and how far it came; null where the submission has a list."""
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime
    points: Annotated[list[BundledPoint], Field(min_length=1)]
    runs: Annotated[list[BundledRun], Field(min_length=1)]
