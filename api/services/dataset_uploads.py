"""A data set on its way in: received with a bound, every byte checked, then stored and registered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from api.problems import ProblemRaised
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import FieldError
from schemas.problems import ProblemCode
from schemas.resources import Dataset
from storage.blobs import BlobStore
from storage.datasets import get_dataset, register_dataset, to_resource
from storage.db import Database

EXPANSION = 8
"""Decompressed arrays may be so many times larger than the largest file."""


async def receive(stream: AsyncIterator[bytes], path: Path, limit: int, what: str = "data set") -> None:
    """Write the body to `path`. Raises a 413 problem as soon as it is over the limit."""
    total = 0
    with path.open("wb") as file:
        async for part in stream:
            total += len(part)
            if total > limit:
                detail = f"the {what} is larger than {limit:,} bytes"
                raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, detail)
            await run_in_threadpool(file.write, part)


def register(
    db: Database, blobs: BlobStore, path: Path, name: str, title: str | None, limit: int
) -> tuple[Dataset, bool]:
    """Check the file and register it; whether it is new. The same file under the same name again is no error.

    Raises InvalidSpec where the file is no data set, and a 409 problem where the name is taken.
    """
    if name in BUILTIN_DATASETS:
        detail = f"{name!r} is built in; choose another name"
        raise ProblemRaised(
            409, ProblemCode.INVALID_TRANSITION, detail, [FieldError("#/query/name", "name-taken", detail)]
        )
    from engine.data.npz import NpzLimits, inspect_npz

    info = inspect_npz(path, name, NpzLimits(max_bytes=EXPANSION * limit), pointer="#/file")
    blob = blobs.put_file(path)
    with db.write() as session:
        known = get_dataset(session, name)
        if known is None:
            return to_resource(register_dataset(session, info, title or info.title, blob)), True
        if known.sha256 == blob.sha256:
            return to_resource(known), False
    detail = f"{name!r} is registered with another file; choose another name"
    raise ProblemRaised(
        409, ProblemCode.INVALID_TRANSITION, detail, [FieldError("#/query/name", "name-taken", detail)]
    )
