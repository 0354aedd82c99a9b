"""The guide as HTML: the documents of `docs/`, a page for each kind, and the API reference."""

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
"""Exists in a checkout and in the image; a wheel has only the generated pages."""
ORDER: Mapping[str, tuple[str, ...]] = {
    "Tutorial": ("tutorial/quick-start", "tutorial/in-the-browser"),
    "How-to guides": (
        "how-to/your-own-nets",
        "how-to/your-own",
        "how-to/training",
        "how-to/without-the-service",
        "how-to/many-experiments",
        "how-to/decide-seeds",
        "how-to/own-claims",
        "how-to/which-regime",
        "how-to/sparse-training",
        "how-to/connectivity",
        "adding-a-kind",
        "how-to/webhooks",
        "how-to/access",
        "how-to/install",
        "how-to/deployment",
        "how-to/back-up",
        "how-to/operations",
        "how-to/figures",
        "how-to/citing",
        "how-to/agents",
        "how-to/skill",
    ),
    "Reference": (
        "reference/glossary",
        "reference/api",
        "reference/python-client",
        "reference/command-line",
        "reference/errors",
        "reference/settings",
        "reference/performance",
        "reference/known-answers",
        "paper-map",
        "paper-experiments",
        "regime",
    ),
    "Explanation": (
        "explanation/concepts",
        "architecture",
        "explanation/readings",
        "explanation/verdicts",
        "explanation/layer-policies",
        "explanation/reliability",
        "explanation/scaling",
        "explanation/speed",
        "explanation/gpu",
    ),
}
"""The documents of each group, by path in `docs/` without the suffix."""
HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>')
"""An explicit anchor at the start of a heading"""
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
"""What a skill file says about itself before its text"""
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)")
SECTION = re.compile(r'<h2 id="([^"]+)">(.+?)</h2>')


@dataclass(frozen=True, slots=True)
class GuidePage:
    slug: str
    title: str
    group: str
    document: str | None = None
    """Its path in `docs/` without the suffix; None for a generated page"""


def list_pages() -> list[GuidePage]:
    """Every page in the order of the guide's navigation."""
    figures = [f"figures/{path.stem}" for path in sorted(DOCS.glob("figures/*.md"), key=_by_number)]
    decisions = [f"decisions/{path.stem}" for path in sorted(DOCS.glob("decisions/*.md"))]
    return [
        *(page for group, names in ORDER.items() for page in _document_pages(group, names)),
        GuidePage("reference", "All API calls", "API reference"),
        *(GuidePage(f"kinds/{name}", kind.title, "Kinds") for name, kind in kinds().items()),
        *_document_pages("The paper's figures", figures),
        *_document_pages("Decisions", decisions),
    ]


def list_pictures() -> dict[str, Path]:
    """The documents' pictures by path in `docs/`, such as `results/fig2-curves_log.png`."""
    return {path.relative_to(DOCS).as_posix(): path for path in DOCS.glob("*/*.png")}


def render_page(
    slug: str, description: Callable[[], Mapping[str, Any]], root_path: str = ""
) -> str | None:
    """The page as HTML; None for an unknown slug.

    description: returns the OpenAPI description. root_path: stands before each link.
    """
    found = _read(slug, description)
    return None if found is None else _render(FRONT_MATTER.sub("", found[0]), found[1], root_path)


def read_markdown(
    slug: str, description: Callable[[], Mapping[str, Any]], root_path: str = ""
) -> str | None:
    """The page as Markdown, with links to other pages as Markdown; None for an unknown slug."""
    found = _read(slug, description)
    if found is None:
        return None
    text, document = found

    def adapt(link: re.Match[str]) -> str:
        target = _find_address(link[2], document, root_path, ending=".md")
        return link[1] if target is None else f"[{link[1]}]({target})"

    pieces = FENCE.split(text)
    pieces[::2] = [LINK.sub(adapt, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _read(slug: str, description: Callable[[], Mapping[str, Any]]) -> tuple[str, str] | None:
    """The page's Markdown, and the path in `docs/` that its relative links start from."""
    if slug == "reference":
        return reference_markdown(description()), slug
    if slug.startswith("kinds/"):
        kind = kinds().get(slug.removeprefix("kinds/"))
        return None if kind is None else (kind_markdown(kind), slug)
    name = next((page.document for page in list_pages() if page.slug == slug), None)
    return None if name is None else ((DOCS / f"{name}.md").read_text(encoding="utf-8"), name)


def list_sections(html: str) -> list[tuple[str, str]]:
    """(id, HTML of the heading) of each section of a page."""
    return SECTION.findall(html)


def _by_number(path: Path) -> tuple[int, str]:
    """`fig2` before `fig10`; names without a number first."""
    digits = re.sub(r"\D", "", path.stem)
    return int(digits or 0), path.stem


def _document_pages(group: str, names: Sequence[str]) -> list[GuidePage]:
    """The pages of the documents that exist: a distribution without `docs/` has none."""
    return [
        GuidePage(_slug_of(name), _title_of(name), group, document=name)
        for name in names
        if (DOCS / f"{name}.md").is_file()
    ]


def _slug_of(name: str) -> str:
    """`access` for `how-to/access`: a page keeps its address when its group changes."""
    return name if name.startswith("decisions/") else name.rpartition("/")[2]


def _title_of(name: str) -> str:
    found = HEADING.search((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    return found[1].replace("`", "") if found else name


def _render(text: str, document: str, root_path: str) -> str:
    """document: the path in `docs/` that relative links start from."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    _set_heading_ids(tokens)
    for token in tokens:
        for child in token.children or ():
            _adapt_link(child, document, root_path)
    html = str(markdown.renderer.render(tokens, markdown.options, {}))
    scroll = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'
    html = html.replace("<table>", scroll).replace("</table>", "</table></div>")
    return html.replace("<pre>", '<pre tabindex="0">')


def _set_heading_ids(tokens: Sequence[Token]) -> None:
    """Give each heading its explicit anchor as id, else one from its text, as GitHub does."""
    counts: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        anchor = ANCHOR.match(inline.content)
        if anchor is not None and inline.children:
            opening.attrSet("id", anchor[1])
            inline.children[0].content = ANCHOR.sub("", inline.children[0].content)
        else:
            name = re.sub(r"[^\w -]", "", inline.content.lower()).strip().replace(" ", "-")
            count = counts[name] = counts.get(name, 0) + 1
            opening.attrSet("id", name if count == 1 else f"{name}-{count}")


def _adapt_link(token: Token, document: str, root_path: str) -> None:
    """Make relative links lead to the guide; remove those to files outside `docs/`."""
    attribute = {"link_open": "href", "image": "src"}.get(token.type)
    if attribute is None:
        return
    address = _find_address(str(token.attrGet(attribute) or ""), document, root_path)
    if address is None:
        token.attrs.pop(attribute)
    else:
        token.attrSet(attribute, address)


def _find_address(target: str, document: str, root_path: str, ending: str = "") -> str | None:
    """Where a link of `document` leads in the guide; None for a file outside `docs/`.

    ending: of the addresses of pages. Links that are not relative stay as they are.
    """
    if not target or target.startswith(("#", "/", "http://", "https://", "mailto:")):
        return target
    path, _, anchor = target.partition("#")
    full = ((DOCS / document).parent / path).resolve()
    if not (full.is_file() and full.is_relative_to(DOCS.resolve())):
        return None
    found = full.relative_to(DOCS.resolve()).as_posix()
    page = _slug_of(found.removesuffix(".md")) + ending if found.endswith(".md") else found
    address = f"{root_path}/guide/{page}"
    return f"{address}#{anchor}" if anchor else address
