"""What is wrong with a setting, in one line: variable, value, range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from runtime.logs import hide_secrets

PREFIX = "RICHREGIME_"
TYPE_NAMES: Mapping[Any, str] = MappingProxyType(
    {Path: "path", SecretStr: "secret text", str: "text", bool: "`true` or `false`"}
)
MAX_VALUE = 100
OWN_ERROR = "Value error, "
"""What pydantic puts before the message of a validator"""


class InvalidSetting(ValueError):
    """A setting that cannot be used; the message is one line without secrets."""


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def describe_errors(fields: Mapping[str, FieldInfo], invalid: ValidationError) -> str:
    """One line for all errors: variables, values with secrets hidden, what is allowed."""
    found = invalid.errors(include_url=False, include_context=False)
    return "; ".join(_describe_error(fields, error) for error in found)


def _describe_error(fields: Mapping[str, FieldInfo], error: Mapping[str, Any]) -> str:
    message = str(error["msg"])
    allowed = message.removeprefix(OWN_ERROR)
    if not error["loc"]:
        return allowed
    name = str(error["loc"][0])
    if not message.startswith(OWN_ERROR) and name in fields:
        allowed = f"allowed is {describe_type(fields[name])}"
    return f"{variable_of(name)} is {_show(fields.get(name), error['input'])}: {allowed}"


def _show(field: FieldInfo | None, value: object) -> str:
    if field is not None and SecretStr in (field.annotation, *get_args(field.annotation)):
        return "not valid (its value is not shown)"
    text = str(value)
    if "@" in text:  # the address of a database or broker, with a password
        text = "***@" + text.rpartition("@")[2].partition("?")[0]
    return hide_secrets(ascii(text))[:MAX_VALUE]


def describe_type(field: FieldInfo) -> str:
    """The type of a setting with its range: `float > 0`, `int from 1 to 256`."""
    if get_origin(field.annotation) is dict:
        return "`name=value` pairs"
    members = [one for one in get_args(field.annotation) if one is not type(None)]
    kind = members[0] if members else field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    name = TYPE_NAMES.get(kind) or getattr(kind, "__name__", str(kind))
    return f"{name} {_describe_range(field.metadata)}".strip()


def _describe_range(metadata: Sequence[Any]) -> str:
    least = [f"{one.ge:,}" for one in metadata if isinstance(one, Ge)]
    above = [f"{one.gt:,}" for one in metadata if isinstance(one, Gt)]
    most = [f"{one.le:,}" for one in metadata if isinstance(one, Le)]
    if least and most:
        return f"from {least[0]} to {most[0]}"
    signs = [(">=", least), (">", above), ("<=", most)]
    return ", ".join(f"{sign} {found[0]}" for sign, found in signs if found)
