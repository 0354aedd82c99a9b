"""Import of an experiment that another service exported."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Response

from api.dependencies import StateDep
from api.experiments.import_bundle import import_bundle
from api.files.content import Expected
from api.http.request_bodies import EXPORT_BODY
from api.http.request_work import Router
from api.http.uploads import upload
from schemas.resources import Experiment
from storage.experiments import find
from storage.experiments.finalize import finalize
from storage.experiments.resources import to_resource

router = Router(tags=["results"])

UploadDep = Annotated[Path, upload(Expected.EXPORT, lambda settings: settings.max_import_bytes)]


@router.post(
    "/import",
    status_code=201,
    openapi_extra=EXPORT_BODY,
    responses={
        200: {"model": Experiment, "description": "The same zip archive was imported before"}
    },
)
def import_experiment(upload: UploadDep, state: StateDep, response: Response) -> Experiment:
    """Import a zip archive of `/experiments/{id}/export`.

    The experiment has the same results and plots as at its origin, and names its original id. It
    is read-only, and submissions do not reuse it.
    """
    require_storage = partial(state.quotas.require_storage, state.owner)
    row, is_new = import_bundle(state.db, state.blobs, state.settings, upload, require_storage)
    finalize(state.db, state.blobs, row.id)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/experiments/{row.id}"
    with state.db.read() as session:
        return to_resource(session, find.get_experiment(session, row.id))
