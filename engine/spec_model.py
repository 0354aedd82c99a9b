"""The base of every spec: frozen, strict types, no unknown fields, no NaN."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Strict

from engine.errors import FieldError

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


def find_subnormals(value: Any, pointer: str) -> list[FieldError]:
    """An error for each number that is not zero but zero for a worker, which flushes subnormals."""
    if isinstance(value, Mapping):
        inner = [(str(name), one) for name, one in value.items()]
    elif isinstance(value, list | tuple):
        inner = [(str(index), one) for index, one in enumerate(value)]
    elif isinstance(value, float) and 0 < abs(value) < sys.float_info.min:
        detail = f"{value!r} is too small for a normal number; use 0 or at least 2.3e-308"
        return [FieldError(pointer, "subnormal", detail)]
    else:
        return []
    return [
        error
        for name, one in inner
        for error in find_subnormals(one, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    ]
