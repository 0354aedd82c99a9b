"""Open zip archives of users with a limit on the size of their directory. Imports no torch."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def open_archive(path: Path, max_directory_bytes: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raises one of DAMAGE if it is unreadable or not compressed by METHODS."""
    with _Bounded(path) as file:
        file.limit = max_directory_bytes
        with zipfile.ZipFile(file) as archive:
            file.limit = None
            for entry in archive.infolist():
                if entry.compress_type not in METHODS:
                    raise zipfile.BadZipFile(
                        f"{entry.filename[:80]!r} is compressed with method {entry.compress_type}"
                    )
            yield archive
