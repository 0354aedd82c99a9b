"""Which plug-ins there are, without running them. Imports no torch."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

PACKAGES = "richregime.models"
"""The group of entry points by which distributions offer nets"""


class PluginFile(NamedTuple):
    """A file of the plug-ins' folder; it has changed if anything here has."""

    path: Path
    size: int
    changed_ns: int


def list_plugin_files(folder: Path | None) -> tuple[PluginFile, ...]:
    """The Python files of the folder, sorted by name; those that begin with `_` are not plug-ins.

    A folder that is missing or cannot be read has none.
    """
    found = []
    try:
        for path in sorted(folder.glob("*.py")) if folder is not None else ():
            if not path.name.startswith(("_", ".")):
                status = path.stat()
                found.append(PluginFile(path, status.st_size, status.st_mtime_ns))
    except OSError:
        return tuple(found)
    return tuple(found)


def has_plugin_packages() -> bool:
    """Whether an installed distribution offers nets."""
    return bool(entry_points(group=PACKAGES))
