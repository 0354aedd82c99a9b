"""Registered data sets."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session

from engine.data.spec import DatasetInfo
from schemas.resources import Dataset, FileDeletion
from storage.database.engine import database_now
from storage.database.inserting import insert_unless_taken
from storage.database.tables import DatasetRow
from storage.errors import InvalidTransition, NotFound
from storage.files.blobs import StoredBlob
from storage.files.in_use import remember_deleted, require_unused_dataset


def register_dataset(
    session: Session, info: DatasetInfo, title: str, blob: StoredBlob
) -> tuple[DatasetRow, bool]:
    """Store the row, or find the one that has its name; also returns whether it is new."""
    while True:
        known = get_dataset(session, info.name)
        if known is not None:
            return known, False
        row = _make_row(session, info, title, blob)
        if insert_unless_taken(session, row):
            return row, True


def _make_row(session: Session, info: DatasetInfo, title: str, blob: StoredBlob) -> DatasetRow:
    return DatasetRow(
        name=info.name,
        title=title,
        shape=list(info.shape),
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        class_counts=_counts_of(info),
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )


def delete_dataset(session: Session, name: str, *, dry_run: bool) -> tuple[FileDeletion, list[str]]:
    """Delete the row; returns what was deleted and the digests of files to delete.

    Raises NotFound, and InvalidTransition where queued or running runs need it, or where an admin
    sees several of this name.
    """
    rows = session.scalars(
        select(DatasetRow).where(DatasetRow.name == name).with_for_update()
    ).all()
    if len(rows) > 1:
        raise InvalidTransition(
            f"several owners have the data set {name!r}; delete it with a key of its owner"
        )
    if not rows:
        raise NotFound(f"there is no data set {name[:80]!r} to delete; GET /datasets lists them")
    row = rows[0]
    require_unused_dataset(session, row)
    deletion = FileDeletion(id=name, deleted=not dry_run, dry_run=dry_run, bytes=row.num_bytes)
    if dry_run:
        return deletion, []
    remember_deleted(session, row)
    session.delete(row)
    return deletion, [row.sha256]


def get_dataset(session: Session, name: str) -> DatasetRow | None:
    """The data set with this name; for an admin, who may see several, that of the first owner."""
    query = select(DatasetRow).where(DatasetRow.name == name).order_by(DatasetRow.owner).limit(1)
    return session.scalars(query).first()


def list_datasets(session: Session) -> list[DatasetRow]:
    """All visible data sets, by name and owner."""
    return list(session.scalars(select(DatasetRow).order_by(DatasetRow.name, DatasetRow.owner)))


def _counts_of(info: DatasetInfo) -> dict[str, list[int]]:
    assert info.train_counts is not None
    assert info.test_counts is not None
    return {"train": list(info.train_counts), "test": list(info.test_counts)}


def to_info(row: DatasetRow) -> DatasetInfo | None:
    """What submissions are checked against; None for a row that is older than its class counts."""
    if row.class_counts is None:
        return None
    channels, height, width = row.shape
    return DatasetInfo(
        row.name,
        row.title,
        (channels, height, width),
        row.num_classes,
        row.train_size,
        row.test_size,
        "registered",
        tuple(row.class_counts["train"]),
        tuple(row.class_counts["test"]),
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
