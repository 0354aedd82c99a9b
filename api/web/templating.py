"""Renders the templates of the pages; errors too, for a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from jinja2 import StrictUndefined

from api.http.paging import format_label
from api.http.root_path import root_path_of, service_path_of
from api.web.formatting import (
    format_bytes,
    format_point,
    format_range,
    format_seconds,
    format_value,
    title_of,
)
from api.web.result_tables import format_elapsed
from schemas.problems import Problem

WEB = Path(__file__).parent
NAVIGATION = (
    ("/", "Experiments"),
    ("/submit", "New experiment"),
    ("/machines", "Queue and workers"),
    ("/data", "Data sets"),
    ("/uploads", "Uploads"),
    ("/guide", "Guide"),
    ("/docs", "API"),
)
MAX_EVENT_CHARACTERS = 160


def _add_paths(request: Request) -> dict[str, Any]:
    """`root` is put before every path of the service; `here` is the path of the page without it."""
    return {"root": root_path_of(request.scope), "here": service_path_of(request.scope)}


templates = Jinja2Templates(directory=WEB / "templates", context_processors=[_add_paths])
templates.env.undefined = StrictUndefined
templates.env.globals["label_filter"] = format_label


def render(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The page of a template."""
    return templates.TemplateResponse(
        request, name, {"navigation": NAVIGATION, **context}, status_code=status
    )


def render_problem(request: Request, problem: Problem, headers: Mapping[str, str]) -> HTMLResponse:
    """An error as a page."""
    page = render(request, "problem.html", problem.status, problem=problem)
    page.headers.update(headers)
    return page


SECONDS = "_seconds"
"""The ending of a field that holds a time in seconds"""


def format_event_data(data: Mapping[str, Any]) -> str:
    """An event's data on one line, cut off after `MAX_EVENT_CHARACTERS`: `elapsed 3 min 20 s`."""
    text = ", ".join(
        f"{name.removesuffix(SECONDS)} {format_seconds(value)}"
        if name.endswith(SECONDS) and isinstance(value, int | float)
        else f"{name} {format_value(value)}"
        for name, value in data.items()
    )
    return text if len(text) <= MAX_EVENT_CHARACTERS else f"{text[:MAX_EVENT_CHARACTERS]}…"


def _group_in_order(rows: Sequence[Any]) -> list[tuple[str | None, list[Any]]]:
    """Rows that follow one another with the same group."""
    return [(group, list(found)) for group, found in groupby(rows, key=lambda row: row.group)]


templates.env.filters.update(
    {
        "groupby_in_order": _group_in_order,
        "seconds": format_seconds,
        "range": format_range,
        "bytes": format_bytes,
        "event_data": format_event_data,
        "elapsed": format_elapsed,
        "value": format_value,
        "point": format_point,
        "title": title_of,
    }
)
