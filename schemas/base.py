"""The base of everything that goes over the wire, and the one shape of a list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict


def _as_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after 9999 in UTC") from None


UtcDatetime = Annotated[datetime, AfterValidator(_as_utc)]

Item = TypeVar("Item")


class Resource(BaseModel):
    """An answer. Answers may gain fields, so a client ignores what it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class StoredResource(Resource):
    """An answer that tells which of its fields are damaged where they are stored."""

    unreadable: list[str] = []
    """Fields whose stored spec cannot be read; they are answered empty."""


class Request(BaseModel):
    """A request's body: closed and strict about types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Page(Resource, Generic[Item]):
    """Every list, whatever it lists."""

    items: list[Item]
    next_cursor: str | None = None
