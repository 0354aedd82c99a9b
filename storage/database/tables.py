"""The tables. Times are in UTC; JSON columns hold plain values of one type."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Enum,
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

from engine.spec import Execution
from schemas.audit import Action
from schemas.status import ExperimentStatus, FailureReason, RunStatus
from schemas.webhooks import DeliveryState
from storage.database.json_columns import JsonRow, ValidatedJson

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def _enum(members: type[Any]) -> Enum:
    return Enum(
        members,
        native_enum=False,
        length=32,
        values_callable=lambda found: [member.value for member in found],
    )


def _time(*, nullable: bool = True, index: bool = False) -> Any:
    return Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=nullable, index=index)
    )


def _json(value_type: Any, default: str) -> Any:
    return Column(
        ValidatedJson(value_type, default), nullable=False, server_default=text(f"'{default}'")
    )


def _optional_json(value_type: Any) -> Any:
    return Column(ValidatedJson(value_type, "null"))


def _parent(column: str, *, index: bool = True) -> Any:
    return Column(String(40), ForeignKey(column, ondelete="CASCADE"), nullable=False, index=index)


def _owner(**column: Any) -> Any:
    """The owner of the API key that made the row; empty: made while no key was required."""
    return Field(
        default="", sa_column=Column(String(64), nullable=False, server_default="", **column)
    )


class ExperimentRow(JsonRow, table=True):
    """One submission. Its status is derived from its runs and stored with each of their
    transitions."""

    __tablename__ = "experiment"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    owner: str = _owner(index=True)
    kind: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    name: str | None = Field(default=None, sa_column=Column(String(200), index=True))
    labels: dict[str, str] = Field(default_factory=dict, sa_column=_json(dict[str, str], "{}"))
    priority: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    spec: dict[str, Any] = Field(sa_column=_json(dict[str, Any], "{}"))
    sweep: dict[str, Any] = Field(default_factory=dict, sa_column=_json(dict[str, list[Any]], "{}"))
    seeds: list[int] = Field(default_factory=list, sa_column=_json(list[int], "[]"))
    execution: dict[str, Any] = Field(default_factory=dict, sa_column=_json(Execution, "{}"))
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
            _enum(ExperimentStatus), nullable=False, index=True, server_default="queued"
        ),
    )
    num_points: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, server_default="0")
    )
    imported_from: str | None = Field(default=None, sa_column=Column(String(40)))
    """The id at the service that computed it; null: computed here. Imported ones are read-only"""
    imported_sha256: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    last_event: int = Field(
        default=0, sa_column=Column(Integer, nullable=False, server_default="0")
    )
    summary: dict[str, Any] | None = Field(default=None, sa_column=_optional_json(dict[str, Any]))
    created_at: datetime = _time(nullable=False, index=True)
    started_at: datetime | None = _time()
    finished_at: datetime | None = _time()


class PointRow(JsonRow, table=True):
    """One cell of an experiment's sweep: a fully expanded spec."""

    __tablename__ = "point"
    __table_args__ = (Unique("experiment_id", "index"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    experiment_id: str = Field(sa_column=_parent("experiment.id", index=False))
    index: int = Field(sa_column=Column(Integer, nullable=False))
    values: dict[str, Any] = Field(sa_column=_json(dict[str, Any], "{}"))
    spec: dict[str, Any] = Field(sa_column=_json(dict[str, Any], "{}"))
    digest: str = Field(sa_column=Column(String(64), nullable=False, index=True))


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
    experiment_id: str = Field(sa_column=_parent("experiment.id", index=False))
    owner: str = _owner()
    """The experiment's owner"""
    point_id: str = Field(sa_column=_parent("point.id"))
    seeds: list[int] = Field(sa_column=_json(list[int], "[]"))
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
    rank: float = Field(default=0.0, sa_column=Column(Float, nullable=False, server_default="0"))
    """Its place among the owner's runs, lowest first (see `storage.runs.claim_order`)"""
    status: RunStatus = Field(
        default=RunStatus.QUEUED,
        sa_column=Column(_enum(RunStatus), nullable=False, server_default="queued"),
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
    lease_until: datetime | None = _time()
    progress_at: datetime | None = _time()
    woken_at: datetime | None = _time()
    cancel_requested_at: datetime | None = _time()
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
    error_code: FailureReason | None = Field(default=None, sa_column=Column(_enum(FailureReason)))
    error_detail: str | None = Field(default=None, sa_column=Column(Text))
    result: list[dict[str, Any]] | None = Field(
        default=None, sa_column=_optional_json(list[dict[str, Any]])
    )
    manifest: dict[str, Any] | None = Field(default=None, sa_column=_optional_json(dict[str, Any]))
    elapsed_seconds: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    """Of the ended attempts"""
    trace_parent: str | None = Field(default=None, sa_column=Column(String(55)))
    """W3C `traceparent` of the request that made it; null where tracing is off"""
    created_at: datetime = _time(nullable=False)
    started_at: datetime | None = _time()
    claimed_at: datetime | None = _time()
    finished_at: datetime | None = _time()


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
    data: dict[str, Any] = Field(default_factory=dict, sa_column=_json(dict[str, Any], "{}"))
    at: datetime = _time(nullable=False)


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


class ArtifactRow(SQLModel, table=True):
    """A stored file of a run: a checkpoint, an artifact, or resume state."""

    __tablename__ = "artifact"
    __table_args__ = (Index(None, "run_id", "role", "name", "seed"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    run_id: str = Field(sa_column=_parent("run.id", index=False))
    role: str = Field(sa_column=Column(String(16), nullable=False))
    name: str = Field(sa_column=Column(String(200), nullable=False))
    seed: int | None = Field(default=None, sa_column=Column(BigInteger))
    epoch: int | None = Field(default=None)
    """Of resume state: its generation"""
    fence: int = Field(sa_column=Column(Integer, nullable=False))
    media_type: str = Field(sa_column=Column(String(100), nullable=False))
    sha256: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = _time(nullable=False)


class TrainingRow(JsonRow, table=True):
    """The finished training of one seed, found by its digest."""

    __tablename__ = "training"

    digest: str = Field(sa_column=Column(String(64), primary_key=True))
    seed: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    run_id: str = Field(
        sa_column=Column(String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    )
    spec_digest: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    """The digest without seed and data, known to a preview. Null in rows older than this column"""
    result: dict[str, Any] = Field(sa_column=_json(dict[str, Any], "{}"))
    created_at: datetime = _time(nullable=False)


class WorkerRow(JsonRow, table=True):
    """A worker process, what it offers, and when it was last seen."""

    __tablename__ = "worker"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    host: str = Field(sa_column=Column(String(200), nullable=False))
    pid: int = Field(sa_column=Column(Integer, nullable=False))
    device: str = Field(sa_column=Column(String(100), nullable=False))
    device_class: str = Field(sa_column=Column(String(8), nullable=False))
    slots: int = Field(sa_column=Column(Integer, nullable=False))
    memory_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    host_memory_bytes: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    labels: dict[str, str] = Field(default_factory=dict, sa_column=_json(dict[str, str], "{}"))
    versions: dict[str, str] = Field(default_factory=dict, sa_column=_json(dict[str, str], "{}"))
    clock_ahead_seconds: float | None = Field(default=None)
    """The worker's clock minus the database's; null in rows older than this column"""
    started_at: datetime = _time(nullable=False)
    seen_at: datetime = _time(nullable=False)


class IdempotencyRow(SQLModel, table=True):
    """The response that an idempotency key received."""

    __tablename__ = "idempotency"

    owner: str = _owner(primary_key=True)
    key: str = Field(sa_column=Column(String(200), primary_key=True))
    body_sha256: str = Field(sa_column=Column(String(64), nullable=False))
    experiment_id: str = Field(sa_column=Column(String(40), nullable=False))
    status_code: int = Field(sa_column=Column(Integer, nullable=False))
    created_at: datetime = _time(nullable=False)


class WeightsRow(JsonRow, table=True):
    """An uploaded checkpoint; its id is derived from its content."""

    __tablename__ = "weights"

    owner: str = _owner(primary_key=True)
    id: str = Field(sa_column=Column(String(40), primary_key=True))
    title: str | None = Field(default=None, sa_column=Column(String(200)))
    tensors: dict[str, list[int]] = Field(sa_column=_json(dict[str, list[int]], "{}"))
    """Tensor shapes by name"""
    sha256: str = Field(sa_column=Column(String(64), nullable=False))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = _time(nullable=False)


class DatasetRow(JsonRow, table=True):
    """A registered data set."""

    __tablename__ = "dataset"

    owner: str = _owner(primary_key=True)
    name: str = Field(sa_column=Column(String(64), primary_key=True))
    title: str = Field(sa_column=Column(String(200), nullable=False))
    shape: list[int] = Field(sa_column=_json(tuple[int, int, int], "[]"))
    num_classes: int = Field(sa_column=Column(Integer, nullable=False))
    train_size: int = Field(sa_column=Column(Integer, nullable=False))
    test_size: int = Field(sa_column=Column(Integer, nullable=False))
    sha256: str = Field(sa_column=Column(String(64), nullable=False))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = _time(nullable=False)


class WebhookRow(SQLModel, table=True):
    """A URL that is notified when the experiment ends."""

    __tablename__ = "webhook"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    experiment_id: str = Field(sa_column=_parent("experiment.id"))
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    """Null: the setting `webhook_secret` at the time of sending"""
    created_at: datetime = _time(nullable=False)


class DeliveryRow(SQLModel, table=True):
    """One notification to one webhook. A claim moves `due_at` into the future, as a lease."""

    __tablename__ = "delivery"
    __table_args__ = (Index(None, "state", "due_at"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    webhook_id: str = Field(sa_column=_parent("webhook.id"))
    body: str = Field(sa_column=Column(Text, nullable=False))
    state: DeliveryState = Field(
        default=DeliveryState.PENDING,
        sa_column=Column(_enum(DeliveryState), nullable=False, server_default="pending"),
    )
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    due_at: datetime = _time(nullable=False)
    created_at: datetime = _time(nullable=False)


class ApiKeyRow(SQLModel, table=True):
    """An API key; of the secret only the hash is stored."""

    __tablename__ = "api_key"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    owner: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    scopes: str = Field(sa_column=Column(String(64), nullable=False))
    """Scope names, separated by spaces"""
    sha256: str = Field(sa_column=Column(String(64), nullable=False, unique=True), repr=False)
    created_at: datetime = _time(nullable=False)
    expires_at: datetime | None = _time()
    revoked_at: datetime | None = _time()


class CounterRow(SQLModel, table=True):
    """A counter, or one bucket of a histogram; see `storage.monitoring.counters`."""

    __tablename__ = "counter"

    name: str = Field(sa_column=Column(String(32), primary_key=True))
    label: str = Field(sa_column=Column(String(32), primary_key=True))
    bucket: str = Field(
        default="", sa_column=Column(String(16), primary_key=True, server_default="")
    )
    value: float = Field(sa_column=Column(Float, nullable=False))


class LoginRow(SQLModel, table=True):
    """A browser login; `sha256` is the hash of the token in its cookie."""

    __tablename__ = "login"

    sha256: str = Field(sa_column=Column(String(64), primary_key=True), repr=False)
    key_id: str = Field(sa_column=_parent("api_key.id"))
    created_at: datetime = _time(nullable=False)
    expires_at: datetime = _time(nullable=False, index=True)


class AuditRow(SQLModel, table=True):
    """One write request: who did what; see `storage.access.audit`."""

    __tablename__ = "audit"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    at: datetime = _time(nullable=False, index=True)
    owner: str = Field(sa_column=Column(String(64), nullable=False))
    key_id: str | None = Field(default=None, sa_column=Column(String(40)))
    action: Action = Field(sa_column=Column(_enum(Action), nullable=False))
    target: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    request_id: str | None = Field(default=None, sa_column=Column(String(16)))
    detail: str | None = Field(default=None, sa_column=Column(String(200)))
