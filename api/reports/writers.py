"""A report as HTML, Markdown or PDF: one file that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from api.reports.content import Report, ReportPart
from api.reports.page_tables import lay_out
from engine.tables import escape_markdown, to_markdown

ReportFormat = Literal["html", "md", "pdf"]
FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)
MEDIA_TYPES: Mapping[ReportFormat, str] = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
}
FOLDER = Path(__file__).parent


def write_report(report: Report, written_as: ReportFormat) -> bytes:
    """The report as a file without references to other files or addresses."""
    writers: Mapping[ReportFormat, Callable[[Report], bytes]] = {
        "html": _to_html,
        "md": _to_markdown,
        "pdf": _to_pdf,
    }
    return writers[written_as](report)


def _to_html(report: Report) -> bytes:
    return _template().render(report=report, as_address=_data_address, lay_out=lay_out).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("report.html")


def _data_address(svg: str) -> str:
    """An address that holds the picture itself; as an image it runs no script."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _to_markdown(report: Report) -> bytes:
    parts = [f"# {escape_markdown(report.title)}\n"]
    for part in report.parts:
        parts += _describe_part(part, alone=len(report.parts) == 1)
    parts.append("## How to cite\n")
    parts.append("\n".join(f"- {escape_markdown(text)}" for text in report.citations) + "\n")
    return "\n".join(parts).encode()


def _describe_part(part: ReportPart, *, alone: bool) -> Iterator[str]:
    if not alone:
        yield f"## {escape_markdown(part.title)}\n"
    yield f"**{escape_markdown(part.question or part.kind)}**\n"
    if not part.is_complete:
        yield "Some runs have not finished; the numbers may still change.\n"
    yield from (f"{escape_markdown(text)}\n" for text in part.answers)
    if part.notes:
        yield f"{escape_markdown(part.notes)}\n"
    own = ("Claims of the submission", part.own_claims)
    for title, claims in (own, ("Claims of the paper", part.claims)):
        if claims:
            yield f"### {title}\n"
        for claim in claims:
            yield f"- **{escape_markdown(claim.name)}: {escape_markdown(claim.verdict)}.** "
            facts = f" ({escape_markdown(claim.facts)})" if claim.facts else ""
            yield f"  {escape_markdown(claim.sentence)}{facts}\n"
    yield from _list_markdown("Departures from the paper", part.departures)
    yield from _list_markdown("Choices where the paper is silent", part.choices)
    for table in part.tables:
        yield f"### {escape_markdown(table.title)}\n"
        yield to_markdown(table)
    for figure in part.figures:
        yield f"### {escape_markdown(figure.title)}\n"
        yield f"![{escape_markdown(figure.title)}]({_data_address(figure.svg)})\n"
        yield f"{escape_markdown(figure.description)}\n"
    yield "### What was computed, on what\n"
    yield "\n".join(f"- {name}: {escape_markdown(value)}" for name, value in part.facts) + "\n"
    yield "### How to run it again\n"
    yield f"{escape_markdown(part.again)}\n"
    yield "\n".join(f"    {line}" for line in part.body.splitlines()) + "\n"


def _list_markdown(title: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield f"### {title}\n"
        yield "\n".join(f"- {escape_markdown(text)}" for text in texts) + "\n"


def _to_pdf(report: Report) -> bytes:
    """By Typst, whose template reads the report as data, so that no text is taken for markup."""
    import matplotlib
    import typst

    data = asdict(report)
    for part, written in zip(report.parts, data["parts"], strict=True):
        written["tables"] = [lay_out(table) for table in part.tables]
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    content = typst.compile(
        str(FOLDER / "report.typ"),
        font_paths=[fonts],
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data)},
    )
    assert isinstance(content, bytes)
    return content
