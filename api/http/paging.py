"""Query parameters of lists: pages and filters."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Query

MAX_LABEL_FILTER = 301
"""A key of 100 characters, each with a backslash before it, a colon, and a value of 100"""
LABEL_FILTER = re.compile(r"((?:\\[\\:]|[^:])*)(?::(.*))?", re.DOTALL)
ESCAPED = re.compile(r"\\([\\:])")
LimitQuery = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
CursorQuery = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the previous page.")
]
LabelQuery = Annotated[
    str | None,
    Query(
        max_length=MAX_LABEL_FILTER,
        description="`key` or `key:value`. In the key, `\\:` is a colon and `\\\\` a backslash.",
    ),
]
ContainingQuery = Annotated[
    str | None,
    Query(max_length=200, description="Text in the name or id; case is ignored."),
]


def parse_label(text: str | None) -> tuple[str, str | None] | None:
    """(key, value), or (key, None) for any value.

    The first colon without a backslash ends the key; the value is taken as it is.
    """
    if text is None:
        return None
    found = LABEL_FILTER.fullmatch(text)
    assert found is not None
    return ESCAPED.sub(r"\1", found[1]), found[2]


def format_label(key: str, value: str) -> str:
    """The filter that finds exactly this label."""
    escaped = key.replace("\\", "\\\\").replace(":", "\\:")
    return f"{escaped}:{value}"
