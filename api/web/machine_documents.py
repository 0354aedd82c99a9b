"""The guide for programs that read: `/llms.txt` and `/llms-full.txt` (llmstxt.org)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from api.web.guide import GuidePage, list_pages, read_markdown

SUMMARY = """# richregime

> A service that runs deep-learning experiments. You send a JSON description of a training study; it
> answers with statistics over seeds, plots, trained weights, and verdicts on the claims of Li &
> Banerjee, "Experiments with Rich Regime Training for Deep Learning".

- `POST /experiments/preview` starts nothing: it answers with the runs, the time they would take,
  warnings, and every error of the body with a JSON pointer to its field.
- `POST /experiments` submits the same body. An identical experiment is not computed twice.
- `GET /presets/fig2.json` is a body that is ready to submit; `GET /presets` lists all.
- `GET /kinds` has the JSON Schema of each kind, `GET /openapi.json` that of all calls.
- Every page of the guide is also Markdown: its address with `.md`.
"""
OPTIONAL = ("The paper's figures", "Decisions")
"""Groups that a short reading leaves out (the section `Optional` of llmstxt.org)"""

Description = Callable[[], Mapping[str, Any]]


def list_documents(root_path: str = "") -> str:
    """The summary, and a link to each page of the guide as Markdown, by group."""
    parts = [SUMMARY]
    for group, pages in _by_group(is_optional=False):
        parts.append(f"## {group}\n\n{_links(pages, root_path)}")
    optional = [page for _, pages in _by_group(is_optional=True) for page in pages]
    parts.append(f"## Optional\n\n{_links(optional, root_path)}")
    return "\n".join(parts)


def join_documents(description: Description, root_path: str = "") -> str:
    """The summary and the text of each page that is not optional.

    description: returns the OpenAPI description.
    """
    parts = [SUMMARY]
    for _, pages in _by_group(is_optional=False):
        for page in pages:
            text = read_markdown(page.slug, description, root_path)
            assert text is not None
            parts.append(f"<!-- {root_path}/guide/{page.slug}.md -->\n\n{text}")
    return "\n".join(parts)


def _by_group(*, is_optional: bool) -> Iterator[tuple[str, list[GuidePage]]]:
    for group, pages in groupby(list_pages(), key=lambda page: page.group):
        if (group in OPTIONAL) == is_optional:
            yield group, list(pages)


def _links(pages: list[GuidePage], root_path: str) -> str:
    return "".join(f"- [{page.title}]({root_path}/guide/{page.slug}.md)\n" for page in pages)
