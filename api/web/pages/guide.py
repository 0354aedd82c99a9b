"""The pages `/guide/...`: the guide, also as Markdown, and the pictures of its documents."""

from __future__ import annotations

from itertools import groupby

from fastapi import Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from markupsafe import Markup

from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.http.root_path import root_path_of
from api.web.guide import list_pages, list_pictures, list_sections, read_markdown, render_page
from api.web.machine_documents import join_documents, list_documents
from api.web.templating import render
from schemas.problems import ProblemCode

router = Router(include_in_schema=False)


MARKDOWN = "text/markdown; charset=utf-8"


@router.get("/llms.txt")
def list_for_programs(request: Request) -> Response:
    """What this is, and a link to each page of the guide as Markdown (llmstxt.org)."""
    return PlainTextResponse(list_documents(root_path_of(request.scope)), media_type=MARKDOWN)


@router.get("/llms-full.txt")
def read_for_programs(request: Request) -> Response:
    """The text of all these pages."""
    text = join_documents(request.app.openapi, root_path_of(request.scope))
    return PlainTextResponse(text, media_type=MARKDOWN)


@router.get("/guide")
def open_guide() -> Response:
    """Redirect to the first page."""
    return RedirectResponse(f"/guide/{list_pages()[0].slug}")


@router.get("/guide/{folder}/{name}.png")
def read_picture(folder: str, name: str) -> FileResponse:
    """A picture of the documents."""
    path = list_pictures().get(f"{folder}/{name}.png")
    if path is None:
        raise ProblemRaised(
            404, ProblemCode.NOT_FOUND, f"the guide has no picture {name[:80]!r} in {folder[:80]!r}"
        )
    return FileResponse(path, media_type="image/png")


@router.get("/guide/{slug:path}.md")
def read_page_as_markdown(request: Request, slug: str) -> Response:
    """A page of the guide as Markdown."""
    text = read_markdown(slug, request.app.openapi, root_path_of(request.scope))
    if text is None:
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"the guide has no page {slug[:80]!r}")
    return PlainTextResponse(text, media_type=MARKDOWN)


@router.get("/guide/{slug:path}")
def show_guide(request: Request, slug: str) -> Response:
    """A page of the guide."""
    html = render_page(slug, request.app.openapi, root_path_of(request.scope))
    if html is None:
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"the guide has no page {slug[:80]!r}")
    pages = list_pages()
    safe = Markup(html)  # noqa: S704 - from documents of the project, without raw HTML  # nosec B704
    return render(
        request,
        "guide.html",
        groups=[
            (group, list(found)) for group, found in groupby(pages, key=lambda page: page.group)
        ],
        title=next(page.title for page in pages if page.slug == slug),
        slug=slug,
        html=safe,
        sections=[(anchor, _strip_tags(heading)) for anchor, heading in list_sections(html)],
    )


def _strip_tags(heading: str) -> str:
    markup = Markup(heading)  # noqa: S704 - its tags are removed below  # nosec B704
    return markup.striptags()
