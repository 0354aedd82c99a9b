"""Which plug-ins there are, without running them. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

PACKAGES = "richregime.models"
"""The group of entry points by which distributions offer nets"""
MAX_BYTES = 1_000_000
"""Of a file"""


class PluginFile(NamedTuple):
    """A file of the plug-ins' folder; it has changed if anything here has."""

    path: Path
    size: int
    changed_ns: int


class UnreadableFile(Exception):
    """A file that is not read; the message says why."""


def list_plugin_files(folder: Path | None) -> tuple[PluginFile, ...]:
    """The Python files of the folder, sorted by name; those that begin with `_` are not plug-ins.

    A folder that is missing or cannot be read has none.
    """
    try:
        paths = sorted(folder.glob("*.py")) if folder is not None else []
    except OSError:
        return ()
    return tuple(_look_at(path) for path in paths if not path.name.startswith(("_", ".")))


def _look_at(path: Path) -> PluginFile:
    try:
        status = path.stat()
    except OSError:  # told when it is read: a link to nothing, or a file that is gone by now
        return PluginFile(path, 0, 0)
    return PluginFile(path, status.st_size, status.st_mtime_ns)


def read_plugin_file(path: Path) -> bytes:
    """The code of a file. Raises UnreadableFile."""
    if not path.name.isprintable():
        raise UnreadableFile("its name holds characters that cannot be printed; rename it")
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile("is not a file")
        with path.open("rb") as opened:
            code = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {error.strerror}") from None
    if len(code) > MAX_BYTES:
        raise UnreadableFile(f"is larger than {MAX_BYTES:,} bytes")
    return code


def identify_file(code: bytes) -> str:
    """The identity of a file's code."""
    return f"sha256:{hashlib.sha256(code).hexdigest()}"


def list_plugin_packages() -> list[EntryPoint]:
    """The entry points of installed distributions, in a fixed order."""
    return sorted(entry_points(group=PACKAGES), key=lambda one: (one.value, one.name))


def identify_package(entry: EntryPoint) -> tuple[str, str]:
    """(The distribution's name, the identity of its code)."""
    distribution = entry.dist
    name = distribution.name if distribution is not None else entry.value
    version = distribution.version if distribution is not None else "unknown"
    return name, f"{name}=={version}"


def list_sources(files: Sequence[PluginFile]) -> frozenset[str]:
    """The identities of the code of these files and of installed distributions."""
    found = {identify_package(entry)[1] for entry in list_plugin_packages()}
    for file in files:
        try:
            found.add(identify_file(read_plugin_file(file.path)))
        except UnreadableFile:  # it is told where plug-ins are loaded
            continue
    return frozenset(found)
