"""The base of the client's types, and a page of a list."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Member = TypeVar("Member")

OpenEnum = Annotated[Member | str, Field(union_mode="left_to_right")]
"""A member of an enumeration, or plain text that this client does not know."""


class Resource(BaseModel):
    """A response, or a part of one. It keeps fields that this client does not know.

    Classes are built when they are first used, so that an import is fast.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    def __repr__(self) -> str:
        """A few lines for experiments, previews, results, comparisons and data sets."""
        from richregime.displays import to_text

        return to_text(self) or super().__repr__()

    def _repr_html_(self) -> str | None:
        """The same with a table, in a notebook; None for other classes."""
        from richregime.displays import to_html

        return to_html(self)


def json_default(text: str) -> Any:
    """A field whose default is this object or list."""
    return Field(default_factory=partial(json.loads, text), validate_default=True)


class Page(Resource, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None


class CountedPage(Page[Item], Generic[Item]):
    """A page of a list that counts its items."""

    total: int
    """How many items match, on all pages"""
