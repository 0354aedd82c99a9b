"""The base of every spec: frozen, strict types, no unknown fields, no NaN."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Strict

Item = TypeVar("Item")

Many = Annotated[tuple[Item, ...], Strict(False)]
"""A tuple that also accepts a JSON list; a strict tuple would not."""


class SpecModel(BaseModel):
    """A frozen, hashable, comparable value with strict types and no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
