"""The parameters of every list that has pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

LimitQuery = Annotated[int, Query(ge=1, le=200, description="Items a page.")]
CursorQuery = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
