"""Uploaded checkpoints, and the checkpoint that an `init` refers to."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from sqlalchemy import select
from sqlmodel import Session

from engine.models.start_weights import list_casts
from engine.models.weights_file import TensorInfo
from schemas.resources import FileDeletion, Weights
from storage.database.engine import database_now
from storage.database.inserting import insert_unless_taken
from storage.database.tables import WeightsRow
from storage.errors import InvalidTransition, NotFound
from storage.files.artifacts import get_artifact
from storage.files.blobs import StoredBlob
from storage.files.in_use import require_unused_checkpoint

PREFIX = "wts_"
DIGITS = 32


def id_of(sha256: str) -> str:
    """The id of an uploaded checkpoint; equal for equal files, so that trainings are reused."""
    return f"{PREFIX}{sha256[:DIGITS]}"


def register_weights(
    session: Session, blob: StoredBlob, tensors: Mapping[str, TensorInfo], title: str | None
) -> tuple[WeightsRow, bool]:
    """Store the row, or find that of the same file; also returns whether it is new."""
    while True:
        known = get_weights(session, id_of(blob.sha256))
        if known is not None:
            return known, False
        row = _make_row(session, blob, tensors, title)
        if insert_unless_taken(session, row):
            return row, True


def _make_row(
    session: Session, blob: StoredBlob, tensors: Mapping[str, TensorInfo], title: str | None
) -> WeightsRow:
    return WeightsRow(
        id=id_of(blob.sha256),
        title=title,
        tensors={name: list(tensor.shape) for name, tensor in tensors.items()},
        dtypes={name: tensor.dtype for name, tensor in tensors.items()},
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )


def delete_weights(
    session: Session, weights_id: str, *, dry_run: bool
) -> tuple[FileDeletion, list[str]]:
    """Delete the row; returns what was deleted and the digests of files to delete.

    Raises NotFound, and InvalidTransition where queued or running runs need it, or where an admin
    sees several with this id.
    """
    rows = session.scalars(
        select(WeightsRow).where(WeightsRow.id == weights_id).with_for_update()
    ).all()
    if len(rows) > 1:
        raise InvalidTransition(
            f"several owners have the checkpoint {weights_id!r}; delete it with a key of its owner"
        )
    if not rows:
        raise NotFound(
            f"there is no uploaded checkpoint {weights_id[:80]!r}; GET /checkpoints lists them"
        )
    row = rows[0]
    require_unused_checkpoint(session, row)
    deletion = FileDeletion(
        id=weights_id, deleted=not dry_run, dry_run=dry_run, bytes=row.num_bytes
    )
    if dry_run:
        return deletion, []
    session.delete(row)
    return deletion, [row.sha256]


def get_weights(session: Session, weights_id: str) -> WeightsRow | None:
    """The checkpoint with this id; for an admin, who may see several, that of the first owner."""
    query = (
        select(WeightsRow).where(WeightsRow.id == weights_id).order_by(WeightsRow.owner).limit(1)
    )
    return session.scalars(query).first()


def list_weights(session: Session) -> list[WeightsRow]:
    """Newest first."""
    newest_first = (WeightsRow.created_at.desc(), WeightsRow.id, WeightsRow.owner)
    return list(session.scalars(select(WeightsRow).order_by(*newest_first)))


def find_weights_blob(session: Session, reference: str) -> str:
    """sha256 of the checkpoint that an `init` refers to: uploaded or of a run. Raises NotFound."""
    if reference.startswith(PREFIX):
        row = get_weights(session, reference)
        if row is None:
            raise NotFound(
                f"there is no checkpoint {reference[:80]!r}; POST /checkpoints uploads one"
            )
        return row.sha256
    artifact = get_artifact(session, reference)
    if artifact.role != "checkpoint":
        raise NotFound(f"{reference[:80]!r} is not a checkpoint")
    return artifact.sha256


def to_tensors(row: WeightsRow) -> dict[str, TensorInfo] | None:
    """Its tensors by name; None for a row that is older than the types of its tensors."""
    if row.dtypes is None:
        return None
    return {name: TensorInfo(row.dtypes[name], tuple(shape)) for name, shape in row.tensors.items()}


def to_resource(row: WeightsRow) -> Weights:
    """The checkpoint as the API returns it."""
    tensors = row.readable("tensors")
    known = {} if row.unreadable else to_tensors(row) or {}
    return Weights(
        id=row.id,
        title=row.title,
        parameters=sum(prod(shape) for shape in tensors.values()),
        tensors=tensors,
        dtypes=row.readable("dtypes"),
        notes=list_casts(known),
        unreadable=row.unreadable,
        sha256=row.sha256,
        bytes=row.num_bytes,
        created_at=row.created_at,
    )
