"""Registered data sets."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session

from engine.data.spec import DatasetInfo
from schemas.resources import Dataset
from storage.database.engine import database_now
from storage.database.tables import DatasetRow
from storage.files.blobs import StoredBlob


def register_dataset(
    session: Session, info: DatasetInfo, title: str, blob: StoredBlob
) -> DatasetRow:
    """Store the row; the name must be free (see `get_dataset`)."""
    row = DatasetRow(
        name=info.name,
        title=title,
        shape=list(info.shape),
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )
    session.add(row)
    session.flush()
    return row


def get_dataset(session: Session, name: str) -> DatasetRow | None:
    """The data set with this name; for an admin, who may see several, that of the first owner."""
    query = select(DatasetRow).where(DatasetRow.name == name).order_by(DatasetRow.owner).limit(1)
    return session.scalars(query).first()


def list_datasets(session: Session) -> list[DatasetRow]:
    """All visible data sets, by name and owner."""
    return list(session.scalars(select(DatasetRow).order_by(DatasetRow.name, DatasetRow.owner)))


def to_info(row: DatasetRow) -> DatasetInfo:
    channels, height, width = row.shape
    return DatasetInfo(
        row.name,
        row.title,
        (channels, height, width),
        row.num_classes,
        row.train_size,
        row.test_size,
        "registered",
    )


def to_resource(row: DatasetRow) -> Dataset:
    """The data set as the API returns it."""
    channels, height, width = row.readable("shape") or (0, 0, 0)
    return Dataset(
        name=row.name,
        title=row.title,
        shape=(channels, height, width),
        num_classes=row.num_classes,
        train_size=row.train_size,
        test_size=row.test_size,
        source="registered",
        available=True,
        sha256=row.sha256,
        bytes=row.num_bytes,
        unreadable=row.unreadable,
    )
