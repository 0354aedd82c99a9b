"""Zip archives from outside: opened with a bound on what their directory may take, before it is read. Imports no torch."""

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
"""What zipfile raises, here and when an entry is read, on archives that are damaged, encrypted or foreign"""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others' decompressors take as much memory as the archive says"""


class _Bounded(io.FileIO):
    """A file of which no more than `limit` bytes are read at once."""

    limit: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None and size is not None and size > self.limit:
            raise zipfile.BadZipFile(
                f"its directory takes {size:,} bytes; the limit is {self.limit:,}"
            )
        return super().read(size)


@contextmanager
def open_archive(path: Path, max_directory_bytes: int) -> Iterator[zipfile.ZipFile]:
    """Raises one of DAMAGE where it cannot be read, or is packed otherwise than zip archives mostly are."""
    with _Bounded(path) as file:
        file.limit = max_directory_bytes
        with zipfile.ZipFile(file) as archive:
            file.limit = None
            for entry in archive.infolist():
                if entry.compress_type not in METHODS:
                    raise zipfile.BadZipFile(
                        f"{entry.filename[:80]!r} is packed by method {entry.compress_type}"
                    )
            yield archive
