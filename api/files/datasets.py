"""Converts, checks, stores and registers an uploaded data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from api.http.problems import ProblemRaised
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import FieldError
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Dataset
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Database
from storage.experiments.locks import lock_queue
from storage.files.blobs import BlobStore, raising_storage_full
from storage.files.datasets import register_dataset, to_resource
from storage.files.retention import delete_unreferenced
from storage.files.upload_transaction import upload_transaction

EXPANSION = 8
"""Decompressed arrays may be this many times larger than the largest file."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the client chose about the file; see `engine.data.importing.options`."""

    name: str
    title: str | None = None
    file_name: str = ""
    label: str | None = None
    test_share: float = 0.2
    seed: int = 0
    side: int | None = None
    colour: Literal["auto", "grey", "colour"] = "auto"
    replace: bool = False


def register(
    db: Database,
    blobs: BlobStore,
    path: Path,
    choices: Choices,
    limit: int,
    require_storage: Callable[[int], None],
) -> tuple[Dataset, bool]:
    """Convert and check the file and register it; also returns whether it is new.

    The same file may be registered again under the same name. require_storage: raises a problem
    where the owner may not store so many bytes. Raises InvalidSpec for a file that is not a data
    set, a 409 problem for a name that is taken, InvalidTransition where runs need the data set to
    replace, and StorageFull.
    """
    name = choices.name
    if name in BUILTIN_DATASETS:
        raise _name_taken(f"{name!r} is built in; choose another name")
    from engine.data.importing.convert import convert
    from engine.data.importing.options import ImportOptions
    from engine.data.npz import NpzLimits

    options = ImportOptions(
        choices.file_name,
        choices.label,
        choices.test_share,
        choices.seed,
        choices.side,
        choices.colour,
        NpzLimits(max_bytes=EXPANSION * limit),
    )
    with blobs.scratch() as out, upload_transaction(db, blobs) as take:
        with raising_storage_full():
            converted = convert(path, out, name, options)
        require_storage(converted.path.stat().st_size)
        blob = take(lambda: blobs.put_file(converted.path))
        with db.write() as session, restricted_to_owner(session):
            if choices.replace:
                lock_queue(session)  # requests that add runs lock experiments first, then files
            found = register_dataset(
                session,
                converted.info,
                choices.title or converted.info.title,
                blob,
                notes=converted.notes,
                replace=choices.replace,
            )
            if found.row.sha256 != blob.sha256:
                raise _name_taken(
                    f"{name!r} is registered with another file; choose another name, or replace it "
                    "by a new version (`replace=true`)"
                )
            if found.is_new:
                version = f", version {found.row.version}" if found.replaced else ""
                record(session, Action.UPLOADED, name, f"data set, {blob.num_bytes} bytes{version}")
            resource = to_resource(found.row)
    delete_unreferenced(db, blobs, [] if found.replaced is None else [found.replaced])
    return resource, found.is_new


def _name_taken(detail: str) -> ProblemRaised:
    errors = [FieldError("#/query/name", "name-taken", detail)]
    return ProblemRaised(409, ProblemCode.INVALID_TRANSITION, detail, errors)
