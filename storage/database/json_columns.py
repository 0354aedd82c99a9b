"""Validated JSON columns: a damaged value raises when it is read, and only then.

Other values of the row, and other rows of the query, stay readable.
"""

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
    """Replaces, in a row, a stored value that is not JSON of the column's type."""

    __slots__ = ("empty",)

    def __init__(self, empty: Any) -> None:
        self.empty = empty


class ValidatedJson(TypeDecorator[Any]):
    """JSON of one type.

    value_type: a type that pydantic validates. empty: JSON shown instead of an unreadable value.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, value_type: Any, empty: str) -> None:
        super().__init__(none_as_null=True)
        self.value_type, self.empty = value_type, empty

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.value_type)

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
    """The value, or an empty one where it is unreadable."""
    return value.empty if type(value) is Unreadable else value


class JsonRow(SQLModel):
    """A row that raises UnreadableRow when a value is read that is damaged in the database."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if type(value) is Unreadable:
            raise self.unreadable_error(name)
        return value

    @property
    def unreadable(self) -> list[str]:
        """The names of the unreadable values."""
        return [name for name, value in vars(self).items() if type(value) is Unreadable]

    def readable(self, name: str) -> Any:
        """The value, or an empty one where it is unreadable."""
        return readable(vars(self)[name])

    def require_readable(self) -> None:
        """Raises UnreadableRow where any value is unreadable."""
        for name in self.unreadable:
            raise self.unreadable_error(name)

    def unreadable_error(self, name: str) -> UnreadableRow:
        table, *_ = inspect(type(self)).tables
        identity = "/".join(map(str, inspect(self).identity))
        return UnreadableRow(f"the stored {name} of {table.name} {identity} cannot be read")
