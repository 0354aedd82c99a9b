"""Stored files: of runs, trainings, uploaded checkpoints, data sets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
)
from sqlmodel import Field, SQLModel

from storage.database.json_columns import JsonRow
from storage.database.tables.columns import (
    json_column,
    optional_json_column,
    owner_field,
    parent_column,
    time_field,
)


class ArtifactRow(SQLModel, table=True):
    """A stored file of a run: a checkpoint, an artifact, or resume state."""

    __tablename__ = "artifact"
    __table_args__ = (Index(None, "run_id", "role", "name", "seed"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    run_id: str = Field(sa_column=parent_column("run.id", index=False))
    role: str = Field(sa_column=Column(String(16), nullable=False))
    name: str = Field(sa_column=Column(String(200), nullable=False))
    seed: int | None = Field(default=None, sa_column=Column(BigInteger))
    epoch: int | None = Field(default=None)
    """Of resume state: its generation"""
    fence: int = Field(sa_column=Column(Integer, nullable=False))
    media_type: str = Field(sa_column=Column(String(100), nullable=False))
    sha256: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = time_field(nullable=False)


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
    result: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    created_at: datetime = time_field(nullable=False)


class WeightsRow(JsonRow, table=True):
    """An uploaded checkpoint; its id is derived from its content."""

    __tablename__ = "weights"

    owner: str = owner_field(primary_key=True)
    id: str = Field(sa_column=Column(String(40), primary_key=True))
    title: str | None = Field(default=None, sa_column=Column(String(200)))
    tensors: dict[str, list[int]] = Field(sa_column=json_column(dict[str, list[int]], "{}"))
    """Tensor shapes by name"""
    dtypes: dict[str, str] | None = Field(sa_column=optional_json_column(dict[str, str]))
    """Types of the tensors by name, such as `bfloat16`; the numbers are finite. Null in rows older
    than this column: not checked yet."""
    sha256: str = Field(sa_column=Column(String(64), nullable=False))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = time_field(nullable=False)


class DatasetRow(JsonRow, table=True):
    """A registered data set."""

    __tablename__ = "dataset"

    owner: str = owner_field(primary_key=True)
    name: str = Field(sa_column=Column(String(64), primary_key=True))
    title: str = Field(sa_column=Column(String(200), nullable=False))
    shape: list[int] = Field(sa_column=json_column(tuple[int] | tuple[int, int, int], "[]"))
    """Of one example: channels, height, width, or the number of features"""
    dtype: str = Field(
        default="uint8", sa_column=Column(String(16), nullable=False, server_default="uint8")
    )
    num_classes: int = Field(sa_column=Column(Integer, nullable=False))
    train_size: int = Field(sa_column=Column(Integer, nullable=False))
    test_size: int = Field(sa_column=Column(Integer, nullable=False))
    class_counts: dict[str, list[int]] | None = Field(
        sa_column=optional_json_column(dict[str, list[int]])
    )
    """Examples of each class in `train` and `test`. Null in rows older than this column."""
    class_names: list[str] | None = Field(default=None, sa_column=optional_json_column(list[str]))
    feature_names: list[str] | None = Field(default=None, sa_column=optional_json_column(list[str]))
    notes: list[str] | None = Field(default=None, sa_column=optional_json_column(list[str]))
    """What the import left out or changed"""
    version: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    """Counts the files that were registered under this name, each in place of the one before"""
    sha256: str = Field(sa_column=Column(String(64), nullable=False))
    num_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = time_field(nullable=False)
