"""The base of the client's types, and a page of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class Resource(BaseModel):
    """A response, or a part of one. It keeps fields that this client does not know.

    Classes are built when they are first used, so that an import is fast.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Page(Resource, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None
