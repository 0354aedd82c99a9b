"""Query parameters of lists: pages and filters."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints

from schemas.actions import MAX_LABEL_FILTER

MAX_CURSOR = 4_000
"""A sorted list's cursor holds the texts that it sorts by"""
MAX_IDS = 200
LABEL_FILTER = re.compile(r"((?:\\[\\:]|[^:])*)(?::(.*))?", re.DOTALL)
ESCAPED = re.compile(r"\\([\\:])")
LimitQuery = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
CursorQuery = Annotated[
    str | None, Query(max_length=MAX_CURSOR, description="`next_cursor` of the previous page.")
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

ShortId = Annotated[str, StringConstraints(max_length=40)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=210)]
IdsQuery = Annotated[
    list[ShortId] | None, Query(max_length=MAX_IDS, description="Only these experiments.")
]
SortQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=211,
        description="The column to sort by, with a minus before it for descending: "
        "`-result.test_accuracy`. `active`: running first, then queued, then the others.",
    ),
]
FieldsQuery = Annotated[
    list[ColumnName] | None,
    Query(description="Columns whose values each item has in `fields`, such as `optimizer.lr`."),
]
GroupQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        description="The key of a label: experiments with the same value stand together.",
    ),
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
