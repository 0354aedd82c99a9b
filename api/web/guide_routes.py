"""The guide's pages, and the pictures of the documents."""

from __future__ import annotations

from itertools import groupby

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from markupsafe import Markup

from api.http.problems import ProblemRaised
from api.web.guide import FIRST, list_pages, list_sections, pictures, render_page
from api.web.templating import render
from schemas.problems import ProblemCode

router = APIRouter(include_in_schema=False)


@router.get("/guide")
def open_guide() -> Response:
    """The first page."""
    return RedirectResponse(f"/guide/{list_pages()[0].slug}")


@router.get("/guide/{folder}/{name}.png")
def read_picture(folder: str, name: str) -> FileResponse:
    """A picture of the documents."""
    path = pictures().get(f"{folder}/{name}.png")
    if path is None:
        raise ProblemRaised(
            404, ProblemCode.NOT_FOUND, f"the guide has no picture {name[:80]!r} in {folder[:80]!r}"
        )
    return FileResponse(path, media_type="image/png")


@router.get("/guide/{slug:path}")
def show_guide(request: Request, slug: str) -> Response:
    """One page of the guide."""
    html = render_page(slug, request.app.openapi)
    if html is None:
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"the guide has no page {slug[:80]!r}")
    pages = list_pages()
    shown = Markup(html)  # noqa: S704 - of our own documents, rendered without HTML  # nosec B704
    return render(
        request,
        "guide.html",
        groups=[
            (group, list(found)) for group, found in groupby(pages, key=lambda page: page.group)
        ],
        title=next(page.title for page in pages if page.slug == slug),
        slug=slug,
        html=shown,
        sections=[(anchor, _strip_tags(heading)) for anchor, heading in list_sections(html)],
        first=FIRST,
    )


def _strip_tags(heading: str) -> str:
    marked = Markup(heading)  # noqa: S704 - a plain text again  # nosec B704
    return marked.striptags()
