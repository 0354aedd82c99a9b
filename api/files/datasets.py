"""Checks, stores and registers an uploaded data set."""

from __future__ import annotations

from pathlib import Path

from api.http.problems import ProblemRaised
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import FieldError
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Dataset
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from storage.files.datasets import register_dataset, to_resource
from storage.files.upload_transaction import upload_transaction

EXPANSION = 8
"""Decompressed arrays may be this many times larger than the largest file."""


def register(
    db: Database, blobs: BlobStore, path: Path, name: str, title: str | None, limit: int
) -> tuple[Dataset, bool]:
    """Check the file and register it; also returns whether it is new.

    The same file may be registered again under the same name.
    Raises InvalidSpec for a file that is not a data set, a 409 problem for a name that is taken,
    and StorageFull.
    """
    if name in BUILTIN_DATASETS:
        raise _name_taken(f"{name!r} is built in; choose another name")
    from engine.data.npz import NpzLimits, inspect_npz

    info = inspect_npz(path, name, NpzLimits(max_bytes=EXPANSION * limit), pointer="#/file")
    with upload_transaction(db, blobs) as take:
        blob = take(lambda: blobs.put_file(path))
        with db.write() as session, restricted_to_owner(session):
            row, is_new = register_dataset(session, info, title or info.title, blob)
            if is_new:
                record(session, Action.UPLOADED, name, f"data set, {blob.num_bytes} bytes")
            if row.sha256 == blob.sha256:
                return to_resource(row), is_new
        raise _name_taken(f"{name!r} is registered with another file; choose another name")


def _name_taken(detail: str) -> ProblemRaised:
    errors = [FieldError("#/query/name", "name-taken", detail)]
    return ProblemRaised(409, ProblemCode.INVALID_TRANSITION, detail, errors)
