"""Uploaded checkpoints, and the checkpoint that an `init` refers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from sqlalchemy import select
from sqlmodel import Session

from schemas.resources import Weights
from storage.database.engine import database_now
from storage.database.tables import WeightsRow
from storage.errors import NotFound
from storage.files.artifacts import get_artifact
from storage.files.blobs import StoredBlob

PREFIX = "wts_"
DIGITS = 32


def id_of(sha256: str) -> str:
    """The id of an uploaded checkpoint; equal for equal files, so that trainings are reused."""
    return f"{PREFIX}{sha256[:DIGITS]}"


def register_weights(
    session: Session, blob: StoredBlob, tensors: Mapping[str, Sequence[int]], title: str | None
) -> WeightsRow:
    """Store the row; its id must be free (see `get_weights`)."""
    row = WeightsRow(
        id=id_of(blob.sha256),
        title=title,
        tensors={name: list(shape) for name, shape in tensors.items()},
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )
    session.add(row)
    session.flush()
    return row


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


def to_resource(row: WeightsRow) -> Weights:
    """The checkpoint as the API returns it."""
    tensors = row.readable("tensors")
    return Weights(
        id=row.id,
        title=row.title,
        parameters=sum(prod(shape) for shape in tensors.values()),
        tensors=tensors,
        unreadable=row.unreadable,
        sha256=row.sha256,
        bytes=row.num_bytes,
        created_at=row.created_at,
    )
