"""Weights that users bring along to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.dependencies import StateDep
from api.files.weights import register
from api.http.request_bodies import WEIGHTS_BODY
from api.http.uploads import upload
from schemas.base import Page
from schemas.resources import Weights
from storage.errors import NotFound
from storage.files.weights import get_weights, list_weights, to_resource

router = APIRouter(tags=["what can be asked"])

UploadDep = Annotated[Path, upload("checkpoint", lambda settings: settings.max_dataset_bytes)]


@router.get("/checkpoints")
def list_brought_checkpoints(state: StateDep) -> Page[Weights]:
    """Checkpoints that were brought along, newest first; those of runs are listed by run."""
    with state.db.read() as session:
        return Page[Weights](items=[to_resource(row) for row in list_weights(session)])


@router.get("/checkpoints/{checkpoint_id}")
def get_brought_checkpoint(checkpoint_id: str, state: StateDep) -> Weights:
    """One checkpoint that was brought along."""
    with state.db.read() as session:
        row = get_weights(session, checkpoint_id)
        if row is None:
            raise NotFound(
                f"there is no checkpoint {checkpoint_id[:80]!r}; POST /checkpoints brings one along"
            )
        return to_resource(row)


@router.post(
    "/checkpoints",
    status_code=201,
    openapi_extra=WEIGHTS_BODY,
    responses={200: {"model": Weights, "description": "The same file was brought along before"}},
)
def bring_checkpoint(
    upload: UploadDep,
    state: StateDep,
    response: Response,
    title: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Weights:
    """Bring a safetensors file along, one tensor a parameter, named as in the model (see `/models`); then
    `"init": {"name": "checkpoint", "checkpoint": ID}` starts from it. The body is the file itself."""
    state.quotas.require_stored(state.owner, upload.stat().st_size)
    found, is_new = register(state.db, state.blobs, upload, title)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/checkpoints/{found.id}"
    return found
