"""Writes the documents that are generated from the code: `python -m ops.documents`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from pydantic.fields import FieldInfo

from runtime.settings import Settings

ROOT = Path(__file__).parents[1]

SETTINGS_HEAD = """# Settings

Each is read from an environment variable. Generated from `runtime/settings.py` by `python -m ops.documents`.

| variable | type | default | what it is |
|---|---|---|---|
"""

COMPUTED_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"home": "`~/.richregime`", "cpu_workers": "the number of cores"}
)
"""Defaults that depend on the machine, in words."""


def settings_markdown() -> str:
    """docs/reference/settings.md: every setting with its type, default and description."""
    prefix = Settings.model_config.get("env_prefix", "")
    rows = [
        f"| `{prefix}{name.upper()}` | {_type_of(info)} | {_default_of(name, info)} | {info.description} |"
        for name, info in Settings.model_fields.items()
    ]
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def _type_of(info: FieldInfo) -> str:
    members = [kind for kind in get_args(info.annotation) if kind is not type(None)] or [
        info.annotation
    ]
    return " or ".join(str(getattr(kind, "__name__", kind)).lower() for kind in members)


def _default_of(name: str, info: FieldInfo) -> str:
    if name in COMPUTED_DEFAULTS:
        return COMPUTED_DEFAULTS[name]
    assert info.default_factory is None, f"say in COMPUTED_DEFAULTS what the default of {name} is"
    return "none" if info.default is None else f"`{info.default}`"


def main() -> None:
    (ROOT / "docs" / "reference" / "settings.md").write_text(settings_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
