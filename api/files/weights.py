"""Checks, stores and registers an uploaded safetensors file, without loading it into memory."""

from __future__ import annotations

from pathlib import Path

from api.http.problems import ProblemRaised
from engine.errors import FieldError, InvalidSpec
from engine.models.start_weights import find_unusable
from engine.models.weights_file import TensorInfo, find_not_finite, read_tensors
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Weights
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from storage.files.upload_transaction import upload_transaction
from storage.files.weights import register_weights, to_resource


def register(db: Database, blobs: BlobStore, path: Path, title: str | None) -> tuple[Weights, bool]:
    """Check the file and register it; also returns whether it is new.

    Raises a 422 problem for a file from which no training could start, and StorageFull.
    """
    tensors = check_weights(path)
    with upload_transaction(db, blobs) as take:
        blob = take(lambda: blobs.put_file(path))
        with db.write() as session, restricted_to_owner(session):
            row, is_new = register_weights(session, blob, tensors, title)
            if is_new:
                record(session, Action.UPLOADED, row.id, f"checkpoint, {blob.num_bytes} bytes")
            return to_resource(row), is_new


def check_weights(path: Path) -> dict[str, TensorInfo]:
    """The tensors of a file from which training can start. Raises a 422 problem for others."""
    try:
        tensors = read_tensors(path)
    except InvalidSpec as invalid:
        raise _refuse(
            f"it is not a safetensors file of weights: {invalid.errors[0].detail}"
        ) from None
    why = find_unusable(tensors)
    if why is None and (name := find_not_finite(path)) is not None:
        why = f"the tensor {name!r} holds NaN or infinity as float32"
    if why is not None:
        raise _refuse(why)
    return tensors


def _refuse(why: str) -> ProblemRaised:
    detail = f"training cannot start from this file: {why}"
    return ProblemRaised(
        422, ProblemCode.INVALID_REQUEST, detail, [FieldError("#/file", "safetensors", why)]
    )
