"""The reference of the settings, from `runtime.settings.Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from types import MappingProxyType

from pydantic.fields import FieldInfo

from runtime.environment import LEFTOVER_NAMES, LEFTOVER_PREFIXES
from runtime.setting_errors import describe_type, variable_of
from runtime.settings import Settings

HEAD = """# Settings

Each setting is an environment variable; an empty one is as if it were not set. `~` in a path is
the user's home folder. A wrong value ends the command with exit code 2. This page is generated from
`runtime/settings.py` by `python -m ops.documents`.

| variable | type | default | meaning |
|---|---|---|---|
"""
IGNORED = """## Ignored variables

A parent process may leave variables behind that the libraries of the service read: a notebook sets
a plotting backend, another Celery project its broker. The processes of the service remove these,
and `up` names those that it found:
"""
COMPUTED_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "home": "`~/.richregime`",
        "cpu_workers": "the number of cores, or a container's quota of them",
    }
)
"""Defaults that depend on the machine."""


def settings_markdown() -> str:
    """A table with every setting: variable, type with its range, default and description."""
    rows = [
        f"| `{variable_of(name)}` | {describe_type(info)} | {_describe_default(name, info)} "
        f"| {info.description} |"
        for name, info in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + _describe_ignored()


def _describe_ignored() -> str:
    starts = [f"`{prefix}*`" for prefix in LEFTOVER_PREFIXES]
    names = [f"`{name}`" for name in sorted(LEFTOVER_NAMES)]
    lines = fill(", ".join([*starts, *names]), 100, break_long_words=False, break_on_hyphens=False)
    return f"\n{IGNORED}\n{lines}.\n"


def _describe_default(name: str, info: FieldInfo) -> str:
    if name in COMPUTED_DEFAULTS:
        return COMPUTED_DEFAULTS[name]
    assert info.default_factory is None, f"add the default of {name} to COMPUTED_DEFAULTS"
    default = info.default
    if default is None or default == {}:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
