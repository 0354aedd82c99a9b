"""Query parameters of lists: pages and filters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

LimitQuery = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
CursorQuery = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the previous page.")
]
LabelQuery = Annotated[str | None, Query(max_length=201, description="`key` or `key:value`.")]
ContainingQuery = Annotated[
    str | None,
    Query(max_length=200, description="Text in the name or id; case is ignored."),
]


def parse_label(text: str | None) -> tuple[str, str | None] | None:
    """(key, value), or (key, None) for any value."""
    if text is None:
        return None
    key, colon, value = text.partition(":")
    return key, value if colon else None
