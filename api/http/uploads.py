"""A file as the body of a request: received with a bound, and gone after the request unless it was taken into the store."""

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
    """A dependency whose value is the path of the body's file. `what`: in words, for the refusal of one over the limit."""

    async def receive(request: Request) -> AsyncIterator[Path]:
        state: State = request.app.state.richregime
        with state.blobs.scratch() as path:
            await _receive(request, state.blobs, path, limit_of(state.settings), what)
            yield path

    return Depends(receive)


async def _receive(request: Request, blobs: BlobStore, path: Path, limit: int, what: str) -> None:
    """Raises StorageFull, and a 413 problem as soon as the body is over the limit."""
    _require_room(request, blobs)
    total = 0
    with raising_storage_full(), path.open("wb") as file:
        async for part in request.stream():
            total += len(part)
            if total > limit:
                detail = f"the {what} is larger than {limit:,} bytes"
                raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, detail)
            await run_in_threadpool(file.write, part)


def _require_room(request: Request, blobs: BlobStore) -> None:
    """A body that says it will not fit is not begun: on its way it would fill the disk under everyone's feet."""
    free, stated = blobs.free_bytes(), request.headers.get("content-length", "0")
    if free is not None and int(stated) > free:
        raise StorageFull
