"""The pages' templates: what every page shares, and errors for whoever reads them in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from api.web.result_tables import show_seconds, show_took
from api.web.wording import show_point, show_value
from schemas.problems import Problem

WEB = Path(__file__).parent
NAVIGATION = (
    ("/", "Experiments"),
    ("/submit", "New experiment"),
    ("/machines", "Queue and workers"),
    ("/guide", "Guide"),
    ("/docs", "API"),
)
BYTES = ("bytes", "kB", "MB", "GB", "TB")
MAX_FACTS_CHARACTERS = 160

templates = Jinja2Templates(directory=WEB / "templates")


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


def show_bytes(count: float) -> str:
    """`12.3 MB`, in powers of 1,000."""
    for unit in BYTES:
        if count < 1000 or unit == BYTES[-1]:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes everything")


def show_facts(data: Mapping[str, Any]) -> str:
    """An event's data in one line."""
    text = ", ".join(f"{name} {show_value(value)}" for name, value in data.items())
    return text if len(text) <= MAX_FACTS_CHARACTERS else f"{text[:MAX_FACTS_CHARACTERS]}…"


templates.env.filters.update(
    {
        "seconds": show_seconds,
        "bytes": show_bytes,
        "facts": show_facts,
        "took": show_took,
        "value_text": show_value,
        "point_text": show_point,
    }
)
