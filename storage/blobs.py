"""Stored bytes, addressed by their sha256, in a folder: written whole or not at all, checked when read."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.errors import CorruptBlob, NotFound, StorageFull
from storage.fault_points import reach
from storage.settings import Settings

ASIDE = ".aside"
"""Ending of a file that is on its way out, or back."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    sha256: str
    num_bytes: int


class BlobStore:
    """A folder of files named by the digest of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the bytes are on this machine."""
        assert len(sha256) == 64
        return self._place(sha256)

    def _place(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> StoredBlob:
        """Store the bytes so that they outlive a crash. Raises StorageFull."""
        blob = StoredBlob(hashlib.sha256(data).hexdigest(), len(data))
        path = self._place(blob.sha256)
        if path.exists() and path.stat().st_size == len(data):
            with suppress(FileNotFoundError):
                os.utime(path)  # the sweep of orphans spares what is young
                return blob
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            reach("put.1")
            temporary.replace(path)
            _sync_folder(path.parent)
            reach("put.2")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"the disk of {self._folder} is full") from error
            raise
        return blob

    def put_file(self, source: Path) -> StoredBlob:
        """Move a finished file of the same file system in, its bytes never in memory at once. Raises StorageFull."""
        with source.open("rb+") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        blob = StoredBlob(digest, source.stat().st_size)
        path = self._place(digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"the disk of {self._folder} is full") from error
            raise
        return blob

    def scratch_path(self) -> Path:
        """A fresh name beside the stored files, for a file that `put_file` will take; the sweep removes what is left."""
        path = self._place(f"{secrets.token_hex(32)}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def read(self, sha256: str) -> bytes:
        """The bytes. Raises NotFound, and CorruptBlob where they are not those that were stored."""
        try:
            data = self._place(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the stored file {sha256} is gone") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptBlob(f"the stored file {sha256} is damaged")
        return data

    def exists(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    def delete(self, name: str) -> None:
        """Remove the file, or what an interrupted write has left of one, where it is there."""
        self._place(name).unlink(missing_ok=True)

    def set_aside(self, sha256: str) -> bool:
        """Take the file out of the store so that it can be put back; False where it is not there."""
        try:
            self._place(sha256).replace(self._place(sha256 + ASIDE))
        except FileNotFoundError:
            return False
        return True

    def put_back(self, sha256: str) -> None:
        with suppress(FileNotFoundError):
            self._place(sha256 + ASIDE).replace(self._place(sha256))

    def list_older_than(self, seconds: float, now: float) -> Iterator[tuple[str, int]]:
        """(name, bytes) of files not touched for so long, and of what interrupted writes have left."""
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if now - status.st_mtime > seconds:
                    yield path.name, status.st_size

    def free_bytes(self) -> int | None:
        """What the disk still takes; None where there is no telling."""
        return shutil.disk_usage(self._folder).free


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_blobs(settings: Settings) -> BlobStore:
    """The store that the settings name. Raises RuntimeError where its library is not installed."""
    if settings.blob_url is None:
        return BlobStore(settings.resolved_blob_dir)
    from storage.object_blobs import ObjectBlobStore

    return ObjectBlobStore.open(settings.blob_url, settings.resolved_blob_dir)
