"""The parameters of lists: pages and filters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

LimitQuery = Annotated[int, Query(ge=1, le=200, description="Items a page.")]
CursorQuery = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before.")
]
LabelQuery = Annotated[str | None, Query(max_length=201, description="`key` or `key:value`.")]
ContainingQuery = Annotated[
    str | None,
    Query(max_length=200, description="Text that the name or the id holds, whatever its case."),
]


def parse_label(text: str | None) -> tuple[str, str | None] | None:
    """(key, value), or (key, None) for whatever value."""
    if text is None:
        return None
    key, colon, value = text.partition(":")
    return key, value if colon else None
