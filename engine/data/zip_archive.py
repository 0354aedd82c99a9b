"""Open zip archives of users: a limit on their directory, no clutter. Imports no torch."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""Errors of zipfile for damaged, encrypted or foreign archives and entries."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The decompressors of other methods take as much memory as the archive declares."""

CLUTTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
"""What systems add to folders and to archives of them, besides files that begin with `._`"""


class Archive:
    """The files of an open archive by name.

    An archive that was unpacked and packed again is read as the original: entries of folders and
    clutter are left out, and so is the name of a folder that holds everything.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.all_names = archive.namelist()
        """The names of all entries as stored"""
        found = {
            entry.filename: entry
            for entry in archive.infolist()
            if not entry.filename.endswith("/") and not _is_clutter(entry.filename)
        }
        folders = {name.partition("/")[0] for name in found}
        if len(folders) == 1 and all("/" in name for name in found):
            found = {name.partition("/")[2]: entry for name, entry in found.items()}
        self.entries: Mapping[str, zipfile.ZipInfo] = found

    def open(self, name: str) -> zipfile.ZipExtFile:
        """The decompressed bytes of the file. Raises KeyError where there is none, and DAMAGE."""
        entry = self._archive.open(self.entries[name])
        assert isinstance(entry, zipfile.ZipExtFile)
        return entry

    def size_of(self, name: str) -> int:
        """The decompressed bytes that the directory states. Raises KeyError where there is none."""
        return self.entries[name].file_size


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not CLUTTER.isdisjoint(parts) or any(part.startswith("._") for part in parts)


class _Bounded(io.FileIO):
    """A file that reads at most `limit` bytes in one call."""

    limit: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None and size is not None and size > self.limit:
            raise zipfile.BadZipFile(
                f"its directory takes {size:,} bytes; the limit is {self.limit:,}"
            )
        return super().read(size)


@contextmanager
def open_archive(path: Path, max_directory_bytes: int) -> Iterator[Archive]:
    """Open an archive. Raises one of DAMAGE if it is unreadable or not compressed by METHODS."""
    with _Bounded(path) as file:
        file.limit = max_directory_bytes
        with zipfile.ZipFile(file) as archive:
            file.limit = None
            for entry in archive.infolist():
                if not entry.filename:
                    raise zipfile.BadZipFile("an entry has no name")
                if entry.compress_type not in METHODS:
                    raise zipfile.BadZipFile(
                        f"{entry.filename[:80]!r} is compressed with method {entry.compress_type}"
                    )
            yield Archive(archive)
