"""Taking in what another service has exported."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Response

from api.dependencies import StateDep
from api.experiments.import_bundle import import_bundle
from api.http.request_bodies import ARCHIVE_BODY
from api.http.uploads import upload
from schemas.resources import Experiment
from storage.experiments import find
from storage.experiments.finalize import finalize
from storage.experiments.resources import to_resource

router = APIRouter(tags=["results"])

UploadDep = Annotated[Path, upload("archive", lambda settings: settings.max_import_bytes)]


@router.post(
    "/import",
    status_code=201,
    openapi_extra=ARCHIVE_BODY,
    responses={
        200: {"model": Experiment, "description": "The same archive has been imported before"}
    },
)
def import_experiment(upload: UploadDep, state: StateDep, response: Response) -> Experiment:
    """Import an archive of `/experiments/{id}/export`: the experiment is shown and drawn here as it was there, marked
    with the id it had; it is read-only, and nothing of it is reused."""
    require_stored = partial(state.quotas.require_stored, state.owner)
    row, is_new = import_bundle(state.db, state.blobs, state.settings, upload, require_stored)
    finalize(state.db, state.blobs, row.id)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/experiments/{row.id}"
    with state.db.read() as session:
        return to_resource(session, find.get_experiment(session, row.id))
