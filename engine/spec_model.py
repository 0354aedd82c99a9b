"""The base of every spec: frozen, strict about types, nothing unknown accepted, no NaN."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Strict

Item = TypeVar("Item")

Many = Annotated[tuple[Item, ...], Strict(False)]
"""A tuple that may be written as a JSON list (a strict tuple would refuse one)."""


class SpecModel(BaseModel):
    """Frozen, strict, closed: a value that can be hashed, compared and trusted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
