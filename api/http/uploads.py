"""Receives a file as the body of a request, up to a size limit.

The file is deleted after the request unless the store has taken it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.dependencies import State
from api.http.problems import ProblemRaised
from runtime.settings import Settings
from schemas.problems import ProblemCode
from storage.errors import StorageFull
from storage.files.blobs import BlobStore, raising_storage_full


def upload(what: str, limit_of: Callable[[Settings], int]) -> Any:
    """A dependency: the path of the received file. what: its name in error messages."""

    async def receive(request: Request) -> AsyncIterator[Path]:
        state: State = request.app.state.richregime
        with state.blobs.scratch() as path:
            await _receive(request, state.blobs, path, limit_of(state.settings), what)
            yield path

    return Depends(receive)


async def _receive(request: Request, blobs: BlobStore, path: Path, limit: int, what: str) -> None:
    """Raises StorageFull, and a 413 problem as soon as the body exceeds the limit."""
    _require_free_space(request, blobs)
    total = 0
    with raising_storage_full(), path.open("wb") as file:
        async for part in request.stream():
            total += len(part)
            if total > limit:
                detail = f"the {what} is larger than {limit:,} bytes"
                raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, detail)
            await run_in_threadpool(file.write, part)


def _require_free_space(request: Request, blobs: BlobStore) -> None:
    """Raises StorageFull for a body that is larger than the free space, before reading it."""
    free, stated = blobs.free_bytes(), request.headers.get("content-length", "0")
    if free is not None and int(stated) > free:
        raise StorageFull
