"""Tables in a response: CSV, JSON, LaTeX and Markdown, with an ETag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Header, Path, Response

from engine.tables import WRITERS, TextTable, to_csv

TableFormat = Literal["csv", "json", "tex", "md"]
TABLE_MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "tex": "application/x-tex; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}
TABLE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string"}}
            for media_type in TABLE_MEDIA_TYPES.values()
        }
    },
    304: {"description": "Unchanged"},
}
FormatPath = Annotated[
    TableFormat,
    Path(
        alias="format",
        description="`csv` and `json` hold unrounded numbers, `tex` and `md` rounded ones.",
    ),
]
IfNoneMatch = Annotated[str | None, Header()]


def write_table(table: TextTable, numbers: Mapping[str, Any], ending: str) -> bytes:
    """The table in one of the formats. numbers: as `to_csv` takes them."""
    if ending == "csv":
        return to_csv(numbers).encode()
    if ending == "json":
        return json.dumps(numbers, allow_nan=False, ensure_ascii=False).encode()
    return WRITERS[ending](table).encode()


def respond_with_table(
    table: TextTable,
    numbers: Mapping[str, Any],
    ending: str,
    if_none_match: str | None,
    *,
    complete: bool = True,
) -> Response:
    """The table, or 304 where the client has it; `X-Partial: true` while it is not complete."""
    content = write_table(table, numbers, ending)
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not complete:
        headers["X-Partial"] = "true"
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=TABLE_MEDIA_TYPES[ending], headers=headers)
