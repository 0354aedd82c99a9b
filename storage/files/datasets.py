"""Registered data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Registered:
    """The row of a data set after a registration."""

    row: DatasetRow
    is_new: bool
    """Also where it replaced another file"""
    replaced: str | None = None
    """sha256 of the file that it replaced"""


def register_dataset(
    session: Session,
    info: DatasetInfo,
    title: str,
    blob: StoredBlob,
    *,
    notes: Sequence[str] = (),
    replace: bool = False,
) -> Registered:
    """Store the row, or find the one that has its name.

    replace: a row with another file takes this one, and its version increases. Raises
    InvalidTransition where queued or running runs need the old one.
    """
    while True:
        known = get_dataset(session, info.name)
        if known is None:
            row = _make_row(session, info, title, blob, notes)
            if insert_unless_taken(session, row):
                return Registered(row, is_new=True)
        elif known.sha256 == blob.sha256 or not replace:
            return Registered(known, is_new=False)
        else:
            return _replace(session, info, title, blob, notes)


def _replace(
    session: Session, info: DatasetInfo, title: str, blob: StoredBlob, notes: Sequence[str]
) -> Registered:
    (row,) = _lock_rows(session, info.name)
    require_unused_dataset(session, row)
    remember_deleted(session, row)
    old, version = row.sha256, row.version + 1
    session.delete(row)
    session.flush()
    new = _make_row(session, info, title, blob, notes)
    new.owner, new.version = row.owner, version
    session.add(new)
    return Registered(new, is_new=True, replaced=old)


def _make_row(
    session: Session, info: DatasetInfo, title: str, blob: StoredBlob, notes: Sequence[str]
) -> DatasetRow:
    return DatasetRow(
        name=info.name,
        title=title,
        shape=list(info.shape),
        dtype=info.dtype,
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        class_counts=_counts_of(info),
        class_names=None if info.class_names is None else list(info.class_names),
        feature_names=None if info.feature_names is None else list(info.feature_names),
        notes=list(notes),
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )


def delete_dataset(session: Session, name: str, *, dry_run: bool) -> tuple[FileDeletion, list[str]]:
    """Delete the row; returns what was deleted and the digests of files to delete.

    Raises NotFound, and InvalidTransition where queued or running runs need it, or where an admin
    sees several of this name.
    """
    rows = _lock_rows(session, name)
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


def _lock_rows(session: Session, name: str) -> Sequence[DatasetRow]:
    """The row, or none. Raises InvalidTransition where an admin sees several of this name."""
    rows = session.scalars(
        select(DatasetRow).where(DatasetRow.name == name).with_for_update()
    ).all()
    if len(rows) > 1:
        raise InvalidTransition(
            f"several owners have the data set {name!r}; change it with a key of its owner"
        )
    return rows


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
    return DatasetInfo(
        row.name,
        row.title,
        tuple(row.shape),
        row.num_classes,
        row.train_size,
        row.test_size,
        "registered",
        tuple(row.class_counts["train"]),
        tuple(row.class_counts["test"]),
        "float32" if row.dtype == "float32" else "uint8",
        _as_tuple(row.class_names),
        _as_tuple(row.feature_names),
    )


def _as_tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def to_resource(row: DatasetRow) -> Dataset:
    """The data set as the API returns it."""
    return Dataset(
        name=row.name,
        title=row.title,
        shape=row.readable("shape") or [],
        dtype="float32" if row.dtype == "float32" else "uint8",
        num_classes=row.num_classes,
        train_size=row.train_size,
        test_size=row.test_size,
        source="registered",
        available=True,
        class_counts=row.readable("class_counts"),
        class_names=row.readable("class_names"),
        feature_names=row.readable("feature_names"),
        notes=row.readable("notes") or [],
        version=row.version,
        sha256=row.sha256,
        bytes=row.num_bytes,
        created_at=row.created_at,
        unreadable=row.unreadable,
    )


def describe(
    info: DatasetInfo,
    title: str,
    notes: Sequence[str],
    version: int,
    sha256: str,
    num_bytes: int,
) -> Dataset:
    """A data set that is not stored, as `to_resource` would return it."""
    return Dataset(
        name=info.name,
        title=title,
        shape=list(info.shape),
        dtype=info.dtype,
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        source="registered",
        available=False,
        class_counts=_counts_of(info),
        class_names=None if info.class_names is None else list(info.class_names),
        feature_names=None if info.feature_names is None else list(info.feature_names),
        notes=list(notes),
        version=version,
        sha256=sha256,
        bytes=num_bytes,
    )
