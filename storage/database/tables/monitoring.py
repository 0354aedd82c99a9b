"""Workers, cordons, due passes, counters and histograms."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    String,
)
from sqlmodel import Field, SQLModel

from storage.database.json_columns import JsonRow
from storage.database.tables.columns import (
    json_column,
    time_field,
)


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
    labels: dict[str, str] = Field(
        default_factory=dict, sa_column=json_column(dict[str, str], "{}")
    )
    versions: dict[str, str] = Field(
        default_factory=dict, sa_column=json_column(dict[str, str], "{}")
    )
    clock_ahead_seconds: float | None = Field(default=None)
    """The worker's clock minus the database's; null in rows older than this column"""
    started_at: datetime = time_field(nullable=False)
    seen_at: datetime = time_field(nullable=False)


class CordonRow(SQLModel, table=True):
    """A worker, or all of a host, that claims no more; see `storage.runs.cordons`."""

    __tablename__ = "cordon"

    name: str = Field(sa_column=Column(String(200), primary_key=True))
    """The worker's id, or the host"""
    hand_back: bool = Field(sa_column=Column(Boolean, nullable=False))
    since: datetime = time_field(nullable=False)


class DuePassRow(SQLModel, table=True):
    """When a pass that one process of all makes is due; see `storage.runs.passes`."""

    __tablename__ = "due_pass"

    name: str = Field(sa_column=Column(String(32), primary_key=True))
    due_at: datetime = time_field(nullable=False)


class CounterRow(SQLModel, table=True):
    """A counter, or one bucket of a histogram; see `storage.monitoring.counters`."""

    __tablename__ = "counter"

    name: str = Field(sa_column=Column(String(32), primary_key=True))
    label: str = Field(sa_column=Column(String(32), primary_key=True))
    bucket: str = Field(
        default="", sa_column=Column(String(16), primary_key=True, server_default="")
    )
    value: float = Field(sa_column=Column(Float, nullable=False))
