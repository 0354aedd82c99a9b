"""Receives a file as the body of a request: of the expected kind, up to a size limit.

The file is deleted after the request unless the store has taken it.
"""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.dependencies import State
from api.experiments.quotas import refuse_if_any
from api.files.content import Expected, recognise
from api.http.problems import ProblemRaised
from engine.errors import FieldError
from runtime.settings import Settings
from schemas.problems import ProblemCode
from storage.errors import StorageFull
from storage.files.blobs import BlobStore, raising_storage_full

FILE_NAMES = {
    Expected.DATASET: "mine.npz",
    Expected.CHECKPOINT: "theta.safetensors",
    Expected.EXPORT: "export.zip",
}
"""The file in the command that an error shows"""
MAX_SHOWN_URL = 500


def upload(expected: Expected, limit_of: Callable[[Settings], int]) -> Any:
    """A dependency: the path of the received file.

    Raises a 415 problem for an HTML form or an encoded body, 413 for a body over the limit, 422 for
    a file that is known to be of another kind.
    """

    async def receive(request: Request) -> AsyncIterator[Path]:
        state: State = request.app.state.richregime
        _require_plain_file(request, expected)
        stated = int(request.headers.get("content-length", "0"))
        await run_in_threadpool(_require_storage, request, state, expected, stated)
        with state.blobs.scratch() as path:
            await _receive(request, state, path, limit_of(state.settings), expected)
            await run_in_threadpool(_require_kind, path, expected)
            yield path

    return Depends(receive)


def _require_plain_file(request: Request, expected: Expected) -> None:
    """Raises a 415 problem where the body would not be the file itself."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        found = f"encoded (content-encoding: {encoding[:80]!r})"
    elif media_type.startswith("multipart/") or media_type == "application/x-www-form-urlencoded":
        found = f"an HTML form (content-type: {media_type[:80]!r})"
    else:
        return
    url = shlex.quote(str(request.url)[:MAX_SHOWN_URL])
    key = (
        ' -H "Authorization: Bearer $RICHREGIME_KEY"' if "authorization" in request.headers else ""
    )
    raise ProblemRaised(
        415,
        ProblemCode.UNSUPPORTED_MEDIA_TYPE,
        f"the body is {found}, and must be the file itself: curl --data-binary "
        f"@{FILE_NAMES[expected]} -H 'content-type: application/octet-stream'{key} {url}",
    )


def _require_storage(request: Request, state: State, expected: Expected, body_bytes: int) -> None:
    """Raises a problem where the owner may not store so much, before the rest is received.

    An export is stored unpacked, so its length says nothing: only a reached limit refuses it here.
    """
    identity = request.state.identity
    num_bytes = 1 if expected is Expected.EXPORT else max(1, body_bytes)
    owner = None if identity is None else identity.owner
    refuse_if_any(state.quotas.find_storage_errors(owner, num_bytes, metric_rows=0))


def _require_kind(path: Path, expected: Expected) -> None:
    """Raises a 422 problem for a file that is known to be of another kind."""
    found = recognise(path)
    if found is not None and expected not in found.may_be:
        detail = f"the body must be {expected.value}, but it is {found}"
        errors = [FieldError("#/file", "other-file", detail)]
        raise ProblemRaised(422, ProblemCode.INVALID_REQUEST, detail, errors)


async def _receive(
    request: Request, state: State, path: Path, limit: int, expected: Expected
) -> None:
    """Raises StorageFull, and a problem as soon as the body exceeds its limit or the owner's."""
    _require_free_space(request, state.blobs)
    has_length = "content-length" in request.headers
    total = 0
    with raising_storage_full(), path.open("wb") as file:
        async for part in request.stream():
            total += len(part)
            if total > limit:
                detail = f"{expected.value} may have {limit:,} bytes; the body is larger"
                raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, detail)
            if not has_length:
                await run_in_threadpool(_require_storage, request, state, expected, total)
            await run_in_threadpool(file.write, part)


def _require_free_space(request: Request, blobs: BlobStore) -> None:
    """Raises StorageFull for a body that is larger than the free space, before reading it."""
    free, stated = blobs.free_bytes(), request.headers.get("content-length", "0")
    if free is not None and int(stated) > free:
        raise StorageFull
