"""Experiments, their points, runs, events and metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlmodel import Field, SQLModel

from engine.own_claims.claim import OwnClaim
from engine.spec import Execution
from schemas.seed_plan import SeedPlan
from schemas.status import ExperimentStatus, FailureReason, RunStatus
from storage.database.json_columns import JsonRow
from storage.database.tables.columns import (
    enum_type,
    json_column,
    optional_json_column,
    owner_field,
    parent_column,
    time_field,
)


class ExperimentRow(JsonRow, table=True):
    """One submission. Its status is derived from its runs and stored with each of their
    transitions."""

    __tablename__ = "experiment"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    owner: str = owner_field(index=True)
    kind: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    name: str | None = Field(default=None, sa_column=Column(String(200), index=True))
    labels: dict[str, str] = Field(
        default_factory=dict, sa_column=json_column(dict[str, str], "{}")
    )
    priority: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    spec: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    sweep: dict[str, Any] = Field(
        default_factory=dict, sa_column=json_column(dict[str, list[Any]], "{}")
    )
    seeds: list[int] = Field(default_factory=list, sa_column=json_column(list[int], "[]"))
    """All so far; `seed_plan` may add more"""
    seed_plan: dict[str, Any] | None = Field(default=None, sa_column=optional_json_column(SeedPlan))
    """How it adds seeds until its verdicts are decided; null: its seeds are a list"""
    claims: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=json_column(list[OwnClaim], "[]")
    )
    """Of its submission"""
    execution: dict[str, Any] = Field(default_factory=dict, sa_column=json_column(Execution, "{}"))
    max_seconds: int | None = Field(default=None)
    keep: str = Field(
        default="all", sa_column=Column(String(8), nullable=False, server_default="all")
    )
    reuse: bool = Field(
        default=True, sa_column_kwargs={"server_default": text("true"), "nullable": False}
    )
    digest: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    status: ExperimentStatus = Field(
        default=ExperimentStatus.QUEUED,
        sa_column=Column(
            enum_type(ExperimentStatus), nullable=False, index=True, server_default="queued"
        ),
    )
    num_points: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, server_default="0")
    )
    imported_from: str | None = Field(default=None, sa_column=Column(String(40)))
    """The id at the service that computed it; null: computed here. Imported ones are read-only"""
    imported_sha256: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    hidden_at: datetime | None = time_field(index=True)
    """Last progress of its import or deletion, which no request sees half done; null: complete"""
    deleted_data: dict[str, str] | None = Field(
        default=None, sa_column=optional_json_column(dict[str, str])
    )
    """sha256, by name, of data sets that it used and that were deleted since"""
    last_event: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, server_default="0")
    )
    summary: dict[str, Any] | None = Field(
        default=None, sa_column=optional_json_column(dict[str, Any])
    )
    notes: str | None = Field(default=None, sa_column=Column(Text))
    """Plain text of its owner"""
    answers_version: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, index=True, server_default="0")
    )
    """Of the code that stored its rows of `answer` from the summary; 0: they are not stored"""
    created_at: datetime = time_field(nullable=False, index=True)
    started_at: datetime | None = time_field()
    finished_at: datetime | None = time_field()


class AnswerRow(JsonRow, table=True):
    """One number of an experiment's result, at its best point: what a list shows and sorts by."""

    __tablename__ = "answer"
    __table_args__ = (Index(None, "name", "mean"),)

    experiment_id: str = Field(
        sa_column=Column(
            String(40), ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True
        )
    )
    name: str = Field(sa_column=Column(String(200), primary_key=True))
    position: int = Field(sa_column=Column(Integer, nullable=False))
    """Among the numbers of its kind, the most telling one first"""
    title: str = Field(sa_column=Column(Text, nullable=False))
    unit: str = Field(sa_column=Column(String(32), nullable=False))
    better: str | None = Field(default=None, sa_column=Column(String(8)))
    mean: float = Field(sa_column=Column(Float, nullable=False))
    standard_error: float | None = Field(default=None)
    num_seeds: int = Field(sa_column=Column(Integer, nullable=False))
    num_points: int = Field(sa_column=Column(Integer, nullable=False))
    """That have this number"""
    point: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    """The swept fields and values of the best point"""


class PointRow(JsonRow, table=True):
    """One cell of an experiment's sweep: a fully expanded spec."""

    __tablename__ = "point"
    __table_args__ = (Unique("experiment_id", "index"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    experiment_id: str = Field(sa_column=parent_column("experiment.id", index=False))
    index: int = Field(sa_column=Column(Integer, nullable=False))
    values: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    spec: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    digest: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    shared_checkpoints: dict[str, Any] | None = Field(
        default=None, sa_column=optional_json_column(dict[str, Any])
    )
    """Moments at which its trainings keep the weights for other points of the experiment"""


class PointSeedRow(SQLModel, table=True):
    """A seed of a point that has a run. The key makes a second run of it impossible."""

    __tablename__ = "point_seed"
    __table_args__ = {"sqlite_with_rowid": False}

    point_id: str = Field(
        sa_column=Column(String(40), ForeignKey("point.id", ondelete="CASCADE"), primary_key=True)
    )
    seed: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class RunRow(JsonRow, table=True):
    """What a worker executes: one point with some of the seeds."""

    __tablename__ = "run"
    __table_args__ = (
        Index(None, "status", "claim_group", "rank", "id"),
        Index(None, "status", "owner", "rank"),
        Index(None, "status", "woken_at"),
        Index(None, "owner", "claimed_at"),
        Index(None, "experiment_id", "status", "rank"),
        Index(None, "status", "device_class", "created_at"),
    )

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    experiment_id: str = Field(sa_column=parent_column("experiment.id", index=False))
    owner: str = owner_field()
    """The experiment's owner"""
    point_id: str = Field(sa_column=parent_column("point.id"))
    seeds: list[int] = Field(sa_column=json_column(list[int], "[]"))
    device_class: str = Field(
        default="any", sa_column=Column(String(8), nullable=False, server_default="any")
    )
    memory_bytes: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    """Memory that it needs, by estimate; 0: unknown"""
    requires: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """Labels that its worker must have"""
    claim_group: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """The same for all runs of one owner with equal needs (see `storage.runs.claim_order`)"""
    training: str | None = Field(default=None, sa_column=Column(String(64)))
    """Digest of a training that runs of other points use too; they wait for the run that trains"""
    rank: float = Field(default=0.0, sa_column=Column(Float, nullable=False, server_default="0"))
    """Its place among the owner's runs, lowest first (see `storage.runs.claim_order`)"""
    status: RunStatus = Field(
        default=RunStatus.QUEUED,
        sa_column=Column(enum_type(RunStatus), nullable=False, server_default="queued"),
    )
    priority: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    fence: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    losses: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    """Workers lost since the last resume checkpoint: a run that makes progress is not at fault"""
    interruptions: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, server_default="0")
    )
    worker: str | None = Field(default=None, sa_column=Column(String(200)))
    device: str | None = Field(default=None, sa_column=Column(String(100)))
    lease_until: datetime | None = time_field()
    progress_at: datetime | None = time_field()
    woken_at: datetime | None = time_field()
    cancel_requested_at: datetime | None = time_field()
    progress_completed: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    progress_total: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    step_seconds: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    """The median step of this attempt; 0: unknown"""
    progress_unit: str = Field(
        default="", sa_column=Column(String(32), nullable=False, server_default="")
    )
    error_code: FailureReason | None = Field(
        default=None, sa_column=Column(enum_type(FailureReason))
    )
    error_detail: str | None = Field(default=None, sa_column=Column(Text))
    result: list[dict[str, Any]] | None = Field(
        default=None, sa_column=optional_json_column(list[dict[str, Any]])
    )
    manifest: dict[str, Any] | None = Field(
        default=None, sa_column=optional_json_column(dict[str, Any])
    )
    elapsed_seconds: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    """Of the ended attempts"""
    estimated_seconds: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    """By the model of a CPU, at its submission; 0: unknown"""
    trace_parent: str | None = Field(default=None, sa_column=Column(String(55)))
    """W3C `traceparent` of the request that made it; null where tracing is off"""
    created_at: datetime = time_field(nullable=False)
    started_at: datetime | None = time_field()
    claimed_at: datetime | None = time_field()
    finished_at: datetime | None = time_field()


class EventRow(JsonRow, table=True):
    """One entry of an experiment's event log; `sequence` counts from 1 without gaps."""

    __tablename__ = "event"

    experiment_id: str = Field(
        sa_column=Column(
            String(40), ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True
        )
    )
    sequence: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    run_id: str | None = Field(default=None, sa_column=Column(String(40)))
    name: str = Field(sa_column=Column(String(64), nullable=False))
    data: dict[str, Any] = Field(default_factory=dict, sa_column=json_column(dict[str, Any], "{}"))
    at: datetime = time_field(nullable=False)


class MetricRow(SQLModel, table=True):
    """One value of a metric at a step of a seed; null where it was not finite."""

    __tablename__ = "metric"

    run_id: str = Field(
        sa_column=Column(String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    )
    name: str = Field(sa_column=Column(String(64), primary_key=True))
    seed: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    step: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    value: float | None = Field(default=None)
