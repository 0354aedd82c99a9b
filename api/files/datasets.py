"""Converts and checks an uploaded data set; stores and registers it, or only shows it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from api.dependencies import State
from api.http.problems import ProblemRaised
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import FieldError
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Dataset, DatasetPreview, ExampleImages, ExampleRows
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.database.tables import DatasetRow
from storage.errors import InvalidTransition
from storage.experiments.locks import lock_queue
from storage.files.blobs import raising_storage_full
from storage.files.datasets import describe, get_dataset, register_dataset, to_resource
from storage.files.in_use import require_unused_dataset
from storage.files.retention import delete_unreferenced
from storage.files.upload_transaction import upload_transaction

if TYPE_CHECKING:
    from engine.data.importing.convert import Converted

EXPANSION = 8
"""Decompressed arrays may be this many times larger than the largest file."""
MAX_COLUMNS = 1_000
"""Columns of a table that a preview lists"""


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
    notes: tuple[str, ...] = ()
    """What the client left out or changed before it sent the file"""


def register(state: State, path: Path, choices: Choices) -> tuple[Dataset, bool]:
    """Convert and check the file and register it; also returns whether it is new.

    The same file may be registered again under the same name. Raises InvalidSpec for a file that is
    not a data set, a problem where the owner may not store so many bytes, a 409 problem for a name
    that is taken, InvalidTransition where runs need the data set to replace, and StorageFull.
    """
    name = choices.name
    if name in BUILTIN_DATASETS:
        raise _name_taken(_describe_built_in(name))
    db, blobs = state.db, state.blobs
    with blobs.scratch() as out, upload_transaction(db, blobs) as take:
        converted = _convert(state, path, out, choices)
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
                raise _name_taken(_describe_taken(name))
            if found.is_new:
                version = f", version {found.row.version}" if found.replaced else ""
                record(session, Action.UPLOADED, name, f"data set, {blob.num_bytes} bytes{version}")
            resource = to_resource(found.row)
    delete_unreferenced(db, blobs, [] if found.replaced is None else [found.replaced])
    return resource, found.is_new


def preview(state: State, path: Path, choices: Choices) -> DatasetPreview:
    """What `register` would store, with some examples; stores nothing.

    Raises as `register`, but tells a name that is taken in `conflict`.
    """
    from engine.data.preview import can_preview, draw_rows, read_rows

    with state.blobs.scratch() as out:
        converted = _convert(state, path, out, choices)
        info, is_shown = converted.info, can_preview(converted.path, converted.info)
        with converted.path.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
        with state.db.read() as session, restricted_to_owner(session):
            row = get_dataset(session, choices.name)
            conflict = _find_conflict(session, row, choices, sha256)
            version = 1 if row is None else row.version + (row.sha256 != sha256)
        images = draw_rows(converted.path, info) if is_shown and info.has_images else []
        rows = read_rows(converted.path, info) if is_shown and not info.has_images else None
        num_bytes = converted.path.stat().st_size
    title = choices.title or info.title
    columns = converted.columns
    return DatasetPreview(
        dataset=describe(info, title, converted.notes, version, sha256, num_bytes),
        columns=None if columns is None else list(columns[:MAX_COLUMNS]),
        images=[
            ExampleImages(label=label, png=b64encode(png).decode())
            for label, png in enumerate(images)
        ],
        rows=None
        if rows is None
        else ExampleRows(
            names=list(rows.names),
            values=[list(values) for values in rows.values],
            labels=list(rows.labels),
        ),
        conflict=conflict,
    )


def _convert(state: State, path: Path, out: Path, choices: Choices) -> Converted:
    """As `engine.data.importing.convert`. Raises a problem where the owner may store no more."""
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
        NpzLimits(max_bytes=EXPANSION * state.settings.max_dataset_bytes),
    )
    state.quotas.require_storage(state.owner, path.stat().st_size)
    with raising_storage_full():
        converted = convert(path, out, choices.name, options)
    state.quotas.require_storage(state.owner, converted.path.stat().st_size)
    return replace(converted, notes=(*choices.notes, *converted.notes))


def _find_conflict(
    session: Session, row: DatasetRow | None, choices: Choices, sha256: str
) -> str | None:
    """Why the file cannot be registered under the name, or None."""
    if choices.name in BUILTIN_DATASETS:
        return _describe_built_in(choices.name)
    if row is None or row.sha256 == sha256:
        return None
    if not choices.replace:
        return _describe_taken(choices.name)
    try:
        require_unused_dataset(session, row)
    except InvalidTransition as needed:
        return str(needed)
    return None


def _describe_built_in(name: str) -> str:
    return f"{name!r} is built in; choose another name"


def _describe_taken(name: str) -> str:
    return (
        f"{name!r} is registered with another file; choose another name, or replace it by a new "
        "version (`replace=true`)"
    )


def _name_taken(detail: str) -> ProblemRaised:
    errors = [FieldError("#/query/name", "name-taken", detail)]
    return ProblemRaised(409, ProblemCode.INVALID_TRANSITION, detail, errors)
