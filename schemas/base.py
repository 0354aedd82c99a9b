"""Base classes of requests and responses, and the type of every list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from engine.spec_model import StrictModel


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
    """A response. Responses may gain fields, so clients ignore unknown ones."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class StoredResource(Resource):
    """A response that names its fields whose stored values are damaged."""

    unreadable: list[str] = []
    """Fields whose stored value cannot be read; they are empty here."""


class Request(StrictModel):
    """The body of a request."""


class Page(Resource, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = None


class CountedPage(Page[Item], Generic[Item]):
    """One page of a list that tells how many items match."""

    total: int
