"""Uploaded checkpoints, from which training can start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Query, Response

from api.dependencies import StateDep
from api.files.content import Expected
from api.files.deletion import remove_checkpoint
from api.files.weights import register
from api.http.request_bodies import WEIGHTS_BODY
from api.http.request_work import Router
from api.http.uploads import upload
from schemas.base import Page
from schemas.resources import FileDeletion, Weights
from storage.errors import NotFound
from storage.files.weights import get_weights, list_weights, to_resource

router = Router(tags=["catalog"])

UploadDep = Annotated[
    Path, upload(Expected.CHECKPOINT, lambda settings: settings.max_dataset_bytes)
]


@router.get("/checkpoints")
def list_uploaded_checkpoints(state: StateDep) -> Page[Weights]:
    """List the uploaded checkpoints, newest first. Those of runs are listed by run."""
    with state.db.read() as session:
        return Page[Weights](items=[to_resource(row) for row in list_weights(session)])


@router.get("/checkpoints/{checkpoint_id}")
def get_uploaded_checkpoint(checkpoint_id: str, state: StateDep) -> Weights:
    """One uploaded checkpoint."""
    with state.db.read() as session:
        row = get_weights(session, checkpoint_id)
        if row is None:
            raise NotFound(
                f"there is no checkpoint {checkpoint_id[:80]!r}; POST /checkpoints uploads one"
            )
        return to_resource(row)


@router.post(
    "/checkpoints",
    status_code=201,
    openapi_extra=WEIGHTS_BODY,
    responses={200: {"model": Weights, "description": "The same file was uploaded before"}},
)
def upload_checkpoint(
    upload: UploadDep,
    state: StateDep,
    response: Response,
    title: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Weights:
    """Upload a safetensors file. The body is the file itself.

    It holds one tensor per parameter, named as in the model (see `/models`). Training starts from
    it with `"init": {"name": "checkpoint", "checkpoint": ID}`.
    """
    state.quotas.require_storage(state.owner, upload.stat().st_size)
    found, is_new = register(state.db, state.blobs, upload, title)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/checkpoints/{found.id}"
    return found


@router.delete("/checkpoints/{checkpoint_id}")
def delete_uploaded_checkpoint(
    checkpoint_id: str, state: StateDep, dry_run: bool = False
) -> FileDeletion:
    """Delete an uploaded checkpoint; `dry_run` only counts the bytes.

    409 while queued or running runs start from it. Results that used it stay.
    """
    return remove_checkpoint(state, checkpoint_id, dry_run=dry_run)
