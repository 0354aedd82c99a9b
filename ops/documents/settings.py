"""The reference of the settings, from `runtime.settings.Settings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from runtime.settings import Settings

HEAD = """# Settings

Each setting is an environment variable. This page is generated from `runtime/settings.py` by
`python -m ops.documents`.

| variable | type | default | meaning |
|---|---|---|---|
"""
COMPUTED_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"home": "`~/.richregime`", "cpu_workers": "the number of cores"}
)
"""Defaults that depend on the machine."""
TYPE_NAMES: Mapping[Any, str] = MappingProxyType(
    {Path: "path", SecretStr: "secret text", str: "text", bool: "`true` or `false`"}
)


def settings_markdown() -> str:
    """A table with every setting: variable, type with its range, default and description."""
    prefix = Settings.model_config.get("env_prefix", "")
    rows = [
        f"| `{prefix}{name.upper()}` | {describe_type(info)} | {_describe_default(name, info)} "
        f"| {info.description} |"
        for name, info in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def describe_type(info: FieldInfo) -> str:
    """The type as text with its range: `float > 0`, `int from 1 to 256`."""
    if get_origin(info.annotation) is dict:
        return "`name=value` pairs"
    members = [one for one in get_args(info.annotation) if one is not type(None)]
    kind = members[0] if members else info.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    name = TYPE_NAMES.get(kind) or getattr(kind, "__name__", str(kind))
    return f"{name} {_describe_range(info.metadata)}".strip()


def _describe_range(metadata: Sequence[Any]) -> str:
    least = [f"{one.ge:,}" for one in metadata if isinstance(one, Ge)]
    above = [f"{one.gt:,}" for one in metadata if isinstance(one, Gt)]
    most = [f"{one.le:,}" for one in metadata if isinstance(one, Le)]
    if least and most:
        return f"from {least[0]} to {most[0]}"
    signs = [(">=", least), (">", above), ("<=", most)]
    return ", ".join(f"{sign} {found[0]}" for sign, found in signs if found)


def _describe_default(name: str, info: FieldInfo) -> str:
    if name in COMPUTED_DEFAULTS:
        return COMPUTED_DEFAULTS[name]
    assert info.default_factory is None, f"add the default of {name} to COMPUTED_DEFAULTS"
    default = info.default
    if default is None or default == {}:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
