"""JSON columns and the rows that have them: a damaged value hides no other, and is told as soon as it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import JSON, Dialect, inspect
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

from storage.errors import UnreadableRow


class Unreadable:
    """Stands in a row for a stored value that is not JSON of its column's shape."""

    __slots__ = ("empty",)

    def __init__(self, empty: Any) -> None:
        self.empty = empty


class ShapedJson(TypeDecorator[Any]):
    """JSON of one shape, a type that pydantic knows. `empty`: JSON that stands for a value that cannot be read."""

    impl = JSON
    cache_ok = True

    def __init__(self, shape: Any, empty: str) -> None:
        super().__init__(none_as_null=True)
        self.shape, self.empty = shape, empty

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.shape)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        parse = super().result_processor(dialect, coltype)

        def read(stored: Any) -> Any:
            if stored is None:
                return None
            try:
                value = stored if parse is None else parse(stored)
                self._adapter.validate_python(value)
            except (ValueError, TypeError, RecursionError):
                return Unreadable(json.loads(self.empty))
            return value

        return read


def readable(value: Any) -> Any:
    """The value, or an empty one where it cannot be read."""
    return value.empty if type(value) is Unreadable else value


class JsonRow(SQLModel):
    """A row whose values raise UnreadableRow when they are asked for and were damaged in the database."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if type(value) is Unreadable:
            raise self.unreadable_error(name)
        return value

    @property
    def unreadable(self) -> list[str]:
        """The names of the values that cannot be read."""
        return [name for name, value in vars(self).items() if type(value) is Unreadable]

    def readable(self, name: str) -> Any:
        """The value, or an empty one where it cannot be read."""
        return readable(vars(self)[name])

    def require_readable(self) -> None:
        """Raises UnreadableRow where any value cannot be read."""
        for name in self.unreadable:
            raise self.unreadable_error(name)

    def unreadable_error(self, name: str) -> UnreadableRow:
        table, *_ = inspect(type(self)).tables
        identity = "/".join(map(str, inspect(self).identity))
        return UnreadableRow(f"the stored {name} of {table.name} {identity} cannot be read")
