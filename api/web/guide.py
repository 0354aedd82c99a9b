"""The guide: the documents of `docs/`, a page a kind and the reference of the API, as HTML from this machine alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from api.web.kind_pages import kind_markdown
from api.web.reference import reference_markdown
from engine.experiments.registry import kinds

DOCS = Path(__file__).parents[2] / "docs"
"""There in a checkout and in the image; a bare wheel has the generated pages only."""
FIRST = "quick-start"
ORDER = (
    *(FIRST, "concepts", "paper-map", "your-own", "adding-a-kind"),
    *(
        "api",
        "access",
        "webhooks",
        "errors",
        "settings",
        "deployment",
        "operations",
        "scaling",
        "reliability",
        "performance",
        "architecture",
        "citing",
    ),
)
"""Documents in the order they are read; others follow by name."""
HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>')
"""Before a heading's words: a short name to lead to"""
SECTION = re.compile(r'<h2 id="([^"]+)">(.+?)</h2>')


@dataclass(frozen=True, slots=True)
class GuidePage:
    slug: str
    title: str
    group: str


def list_pages() -> list[GuidePage]:
    """Every page, in order."""
    names = [
        path.relative_to(DOCS).with_suffix("").as_posix() for path in sorted(DOCS.rglob("*.md"))
    ]
    first = [name for name in ORDER if name in names]
    others = [name for name in names if name not in first and "/" not in name]
    decisions = [name for name in names if "/" in name]
    return [
        *(GuidePage(name, _title_of(name), "Guide") for name in [*first, *others]),
        *(GuidePage(f"kinds/{name}", kind.title, "Kinds") for name, kind in kinds().items()),
        GuidePage("reference", "API reference", "Reference"),
        *(GuidePage(name, _title_of(name), "Decisions") for name in decisions),
    ]


def pictures() -> dict[str, Path]:
    """The documents' pictures by their path in `docs/`, as images/compare.png and results/fig2-curves_log.png."""
    return {path.relative_to(DOCS).as_posix(): path for path in DOCS.glob("*/*.png")}


def render_page(slug: str, description: Callable[[], Mapping[str, Any]]) -> str | None:
    """The page as HTML; None where there is none. description: the API's own, asked for where the page needs it."""
    if slug == "reference":
        return _render(reference_markdown(description()), slug)
    if slug.startswith("kinds/"):
        kind = kinds().get(slug.removeprefix("kinds/"))
        return None if kind is None else _render(kind_markdown(kind), slug)
    if slug not in {page.slug for page in list_pages()}:
        return None
    return _render((DOCS / f"{slug}.md").read_text(encoding="utf-8"), slug)


def list_sections(html: str) -> list[tuple[str, str]]:
    """(id, HTML of the heading) of each section of a page."""
    return SECTION.findall(html)


def _title_of(name: str) -> str:
    found = HEADING.search((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    return found[1].replace("`", "") if found else name


def _render(text: str, slug: str) -> str:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    _name_headings(tokens)
    for token in tokens:
        for child in token.children or ():
            _lead_on(child, slug)
    html = str(markdown.renderer.render(tokens, markdown.options, {}))
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    return html.replace("<table>", scroll).replace("</table>", "</table></div>")


def _name_headings(tokens: Sequence[Token]) -> None:
    """An id for each heading, from its words or the anchor before them, as links in the documents expect."""
    taken: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        anchor = ANCHOR.match(inline.content)
        if anchor is not None and inline.children:
            opening.attrSet("id", anchor[1])
            inline.children[0].content = ANCHOR.sub("", inline.children[0].content)
        else:
            name = re.sub(r"[^\w -]", "", inline.content.lower()).strip().replace(" ", "-")
            count = taken[name] = taken.get(name, 0) + 1
            opening.attrSet("id", name if count == 1 else f"{name}-{count}")


def _lead_on(token: Token, slug: str) -> None:
    """Links and pictures of the documents lead to the guide's pages; what lies outside of them is only named."""
    attribute = {"link_open": "href", "image": "src"}.get(token.type)
    target = str(token.attrGet(attribute) or "") if attribute else ""
    if (
        not attribute
        or not target
        or target.startswith(("#", "/", "http://", "https://", "mailto:"))
    ):
        return
    path, _, anchor = target.partition("#")
    full = (DOCS / slug).parent / path
    inside = full.is_file() and full.resolve().is_relative_to(DOCS.resolve())
    if not inside:
        token.attrs.pop(attribute)
        return
    found = full.resolve().relative_to(DOCS.resolve()).as_posix()
    address = f"/guide/{found.removesuffix('.md')}"
    token.attrSet(attribute, f"{address}#{anchor}" if anchor else address)
