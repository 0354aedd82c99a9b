"""The page `/`: the list of experiments with its filters."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.http.paging import ContainingQuery, CursorQuery, LabelQuery, parse_label
from api.http.request_work import Router
from api.web.templating import WEB, render
from engine.experiments.registry import kinds
from schemas.status import ExperimentStatus
from storage.experiments import find
from storage.experiments.resources import to_resources
from storage.runs import resources as run_resources

router = Router(include_in_schema=False)

PAGE_SIZE = 25
PICTURES = frozenset(path.stem for path in (WEB / "assets" / "kinds").glob("*.png"))
"""Kinds whose example has a picture (`ops.kind_pictures`)"""
REFRESH_MS = 3000

KindFilter = Annotated[str | None, Query(max_length=64)]
StatusFilter = Annotated[str | None, Query(max_length=32)]


@router.get("/")
def show_experiments(
    request: Request,
    state: StateDep,
    cursor: CursorQuery = None,
    q: ContainingQuery = None,
    kind: KindFilter = None,
    status: StatusFilter = None,
    label: LabelQuery = None,
) -> Response:
    """The newest experiments that match the filters."""
    filters = {
        "q": q or None,
        "kind": kind or None,
        "status": status or None,
        "label": label or None,
    }
    with state.db.read() as session:
        rows, next_cursor = find.list_experiments(
            session,
            limit=PAGE_SIZE,
            cursor=cursor,
            kind=filters["kind"],
            status=_parse_status(filters["status"]),
            label=parse_label(filters["label"]),
            containing=filters["q"],
        )
        experiments = to_resources(
            session, rows, limit_per_owner=state.settings.limit_running_per_owner
        )
        queue = run_resources.queue_state(session)
    given = {name: value for name, value in filters.items() if value is not None}
    return render(
        request,
        "experiments.html",
        experiments=experiments,
        older=f"/?{urlencode({**given, 'cursor': next_cursor})}",
        next_cursor=next_cursor,
        queue=queue,
        kinds=kinds(),
        statuses=[str(name) for name in ExperimentStatus],
        filters=filters,
        is_filtered=bool(given),
        is_first_page=not given and cursor is None,
        pictures=PICTURES,
        refresh_ms=REFRESH_MS,
    )


def _parse_status(text: str | None) -> ExperimentStatus | None:
    if text is None or text not in list(ExperimentStatus):
        return None
    return ExperimentStatus(text)
