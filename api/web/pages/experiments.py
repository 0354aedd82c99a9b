"""The page `/`: the list of experiments with its filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from api.dependencies import StateDep
from api.experiments.listing import find_unknown_order, parse_order
from api.experiments.side_by_side import MAX_COMPARED
from api.http.paging import ContainingQuery, CursorQuery, IdsQuery, LabelQuery, parse_label
from api.http.request_work import Router
from api.web.list_table import make_table
from api.web.templating import WEB, render
from engine.experiments.registry import kinds
from schemas.actions import MAX_ACTED
from schemas.status import ExperimentStatus
from storage.experiments.columns import Order
from storage.experiments.listing import Filter, count_experiments, list_experiments
from storage.experiments.resources import to_resources
from storage.runs import resources as run_resources

router = Router(include_in_schema=False)

PAGE_SIZE = 25
PICTURES = frozenset(path.stem for path in (WEB / "assets" / "kinds").glob("*.png"))
"""Kinds whose example has a picture (`ops.kind_pictures`)"""
REFRESH_MS = 3000

DEFAULT_SORT = "active"

KindFilter = Annotated[str | None, Query(max_length=64)]
StatusFilter = Annotated[str | None, Query(max_length=32)]
ColumnsQuery = Annotated[list[str] | None, Query(max_length=100)]
SortQuery = Annotated[str | None, Query(max_length=211)]
GroupQuery = Annotated[str | None, Query(max_length=100)]


@router.get("/")
def show_experiments(
    request: Request,
    state: StateDep,
    cursor: CursorQuery = None,
    q: ContainingQuery = None,
    kind: KindFilter = None,
    status: StatusFilter = None,
    label: LabelQuery = None,
    id: IdsQuery = None,
    sort: SortQuery = None,
    fields: ColumnsQuery = None,
    group: GroupQuery = None,
) -> Response:
    """The experiments that match the filters, running ones first or sorted by a column.

    For the id of a run, that run's page.
    """
    filters = {
        "q": q or None,
        "kind": kind or None,
        "status": status or None,
        "label": label or None,
    }
    matching = Filter(
        kind=filters["kind"],
        status=_parse_status(filters["status"]),
        label=parse_label(filters["label"]),
        containing=filters["q"],
        ids=id,
    )
    with state.db.read() as session:
        if q and run_resources.has_run(session, q.strip()):
            return RedirectResponse(f"/view/runs/{q.strip()}", 303)
        order = parse_order(sort or None)
        if order is None or any(find_unknown_order(session, order)):
            order = Order(DEFAULT_SORT)
        rows, next_cursor = list_experiments(
            session,
            limit=PAGE_SIZE,
            cursor=cursor,
            matching=matching,
            order=order,
            group=group or None,
        )
        experiments = to_resources(
            session, rows, limit_per_owner=state.settings.limit_running_per_owner
        )
        table = make_table(
            session,
            experiments,
            rows,
            matching=matching,
            chosen=[name for name in fields or () if name] or None,
            order=order,
            group=group or None,
        )
        total = count_experiments(session, matching)
        queue = run_resources.queue_state(session)
    given = {name: value for name, value in filters.items() if value is not None}
    view = {"sort": sort or None, "fields": fields, "group": group or None}
    query = {**given, "id": id, **view}
    return render(
        request,
        "experiments.html",
        table=table,
        total=total,
        order=order,
        default_sort=DEFAULT_SORT,
        group=group or None,
        address=lambda **changes: _address({**query, **changes}),
        without=_without(query),
        next_cursor=next_cursor,
        is_later_page=cursor is not None,
        ids=id,
        queue=queue,
        kinds=kinds(),
        statuses=[str(name) for name in ExperimentStatus],
        filters=filters,
        is_filtered=bool(given) or id is not None,
        is_first_page=not given and cursor is None and id is None,
        pictures=PICTURES,
        max_compared=MAX_COMPARED,
        max_acted=MAX_ACTED,
        refresh_ms=REFRESH_MS,
    )


def _address(query: Mapping[str, Any]) -> str:
    """The path of this page with a query; empty values are left out."""
    given = {name: value for name, value in query.items() if value}
    return f"/?{urlencode(given, doseq=True)}" if given else "/"


def _without(query: Mapping[str, Any]) -> Callable[..., list[tuple[str, str]]]:
    """A function from the names of fields of a form to the (name, value) pairs of all others."""

    def others(*names: str) -> list[tuple[str, str]]:
        return [
            (name, one)
            for name, value in query.items()
            if name not in names and value
            for one in (value if isinstance(value, list) else [value])
        ]

    return others


def _parse_status(text: str | None) -> ExperimentStatus | None:
    if text is None or text not in list(ExperimentStatus):
        return None
    return ExperimentStatus(text)
