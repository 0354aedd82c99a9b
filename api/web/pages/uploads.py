"""The page `/uploads`: registered data sets and uploaded checkpoints, which can be deleted."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.http.request_work import Router
from api.web.templating import render
from storage.files import datasets, weights

router = Router(include_in_schema=False)


@router.get("/uploads")
def show_uploads(request: Request, state: StateDep) -> Response:
    """What the owner has uploaded; for an admin, what all owners have."""
    with state.db.read() as session:
        registered = [datasets.to_resource(row) for row in datasets.list_datasets(session)]
        uploaded = [weights.to_resource(row) for row in weights.list_weights(session)]
    return render(request, "uploads.html", datasets=registered, checkpoints=uploaded)
