"""Runs and their files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.responses import FileResponse

from api.dependencies import StateDep
from api.http.request_work import Router
from schemas.base import Page
from schemas.resources import Artifact, Checkpoint, Run
from storage.errors import NotFound
from storage.files import artifacts
from storage.runs import resources as run_resources

router = Router(tags=["runs"])

BINARY = ("application/octet-stream", "application/zip", "application/x-npz")
"""Media types of stored files, besides JSON"""
BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            **{one: {"schema": {"type": "string", "format": "binary"}} for one in BINARY},
            "application/json": {"schema": {}},
        }
    },
    206: {"description": "The requested range"},
    304: {"description": "Unchanged"},
}


@router.get("/runs/{run_id}")
def get_run(run_id: str, state: StateDep) -> Run:
    """One run with its attempts, device, timings and manifest."""
    with state.db.read() as session:
        return run_resources.run_resources(session, [run_resources.get_run(session, run_id)])[0]


@router.get("/runs/{run_id}/checkpoints")
def list_checkpoints(run_id: str, state: StateDep) -> Page[Checkpoint]:
    """List `theta_0` and `theta_T` of each seed, and the resume state while it runs."""
    with state.db.read() as session:
        run_resources.get_run(session, run_id)
        rows = [
            *artifacts.list_artifacts(session, run_id, "checkpoint"),
            *artifacts.list_artifacts(session, run_id, "resume"),
        ]
        return Page[Checkpoint](items=[artifacts.to_checkpoint(row) for row in rows])


@router.get("/runs/{run_id}/artifacts")
def list_artifacts(run_id: str, state: StateDep) -> Page[Artifact]:
    """List the files that the run stores besides its result."""
    with state.db.read() as session:
        run_resources.get_run(session, run_id)
        return Page[Artifact](
            items=[
                artifacts.to_artifact(row)
                for row in artifacts.list_artifacts(session, run_id, "artifact")
            ]
        )


@router.get("/artifacts/{artifact_id}", response_class=FileResponse, responses=BYTES)
def download_artifact(
    artifact_id: str,
    state: StateDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Download a checkpoint or artifact; supports Range, and its ETag is the sha256."""
    with state.db.read() as session:
        row = artifacts.get_artifact(session, artifact_id)
    etag = f'"{row.sha256}"'
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers={"ETag": etag})
    path = state.blobs.path(row.sha256)
    if not path.exists():
        raise NotFound(f"the file of artifact {artifact_id} is gone")
    return FileResponse(
        path,
        media_type=row.media_type,
        filename=artifacts.file_name(row),
        headers={"ETag": etag, "X-Content-Type-Options": "nosniff"},
    )
