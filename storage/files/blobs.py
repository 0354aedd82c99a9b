"""A folder of files named by their sha256, written atomically and verified when read."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.fault_points import reach
from runtime.settings import Settings
from storage.errors import CorruptBlob, NotFound, StorageFull, StorageUnavailable

ASIDE = ".aside"
"""Suffix of a file during its deletion, which may still be undone"""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota, a file size limit"""

log = logging.getLogger("richregime.storage")


@contextmanager
def raising_storage_full() -> Iterator[None]:
    """Raises StorageFull for the system's errors of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull from error
        raise


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A stored file."""

    sha256: str
    num_bytes: int
    is_new: bool = field(default=True, compare=False)
    """Whether this call stored it first"""


class BlobStore:
    """Stores bytes under their digest in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """The file on this machine; it need not exist."""
        assert len(sha256) == 64
        return self._path_of(sha256)

    def _path_of(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> StoredBlob:
        """Store the bytes durably. Raises StorageFull."""
        blob = StoredBlob(hashlib.sha256(data).hexdigest(), len(data))
        path = self._path_of(blob.sha256)
        if self._has(blob):
            return replace(blob, is_new=False)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        try:
            with raising_storage_full():
                path.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                reach("put.1")
                temporary.replace(path)
                _sync_folder(path.parent)
                reach("put.2")
        except (OSError, StorageFull):
            temporary.unlink(missing_ok=True)
            raise
        return blob

    def put_file(self, source: Path) -> StoredBlob:
        """Move a finished file of the same file system into the store, without reading it whole.

        A file that the store already has is left where it is. Raises StorageFull.
        """
        with raising_storage_full():
            with source.open("rb+") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            blob = StoredBlob(digest, source.stat().st_size)
            path = self._path_of(digest)
            if self._has(blob):
                return replace(blob, is_new=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
            _sync_folder(path.parent)
            return blob

    def _has(self, blob: StoredBlob) -> bool:
        """Whether the file is complete; updates its mtime, so that the orphan sweep spares it."""
        path = self._path_of(blob.sha256)
        try:
            if path.stat().st_size != blob.num_bytes:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path in the store for a temporary file that `put_file` can move.

        The file is deleted after the block; after a crash, the orphan sweep deletes it. Raises
        StorageFull.
        """
        path = self._path_of(f"{secrets.token_hex(32)}.partial")
        with raising_storage_full():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def read(self, sha256: str) -> bytes:
        """The verified bytes. Raises NotFound, and CorruptBlob where the digest differs."""
        try:
            data = self._path_of(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the stored file {sha256} is missing") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptBlob(f"the stored file {sha256} is damaged")
        return data

    def exists(self, sha256: str) -> bool:
        return self._path_of(sha256).exists()

    def delete(self, name: str) -> None:
        """Delete the file or the partial file of an interrupted write, where it exists."""
        self._path_of(name).unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        """Delete the file now, or leave it to the orphan sweep where the store does not answer."""
        try:
            self.delete(name)
        except StorageUnavailable as error:
            log.warning("file %s is deleted later: %s", name, error)

    def set_aside(self, sha256: str) -> bool:
        """Rename the file so that it counts as deleted; False where it does not exist."""
        try:
            self._path_of(sha256).replace(self._path_of(sha256 + ASIDE))
        except FileNotFoundError:
            return False
        return True

    def put_back(self, sha256: str) -> None:
        """Undo `set_aside`."""
        with suppress(FileNotFoundError):
            self._path_of(sha256 + ASIDE).replace(self._path_of(sha256))

    def list_older_than(self, seconds: float, now: float) -> Iterator[tuple[str, int]]:
        """(name, bytes) of the files, partial ones included, not modified for so many seconds."""
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if now - status.st_mtime > seconds:
                    yield path.name, status.st_size

    def free_bytes(self) -> int | None:
        """Free bytes of the disk; None where unknown."""
        return shutil.disk_usage(self._folder).free


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_blobs(settings: Settings) -> BlobStore:
    """The configured store. Raises RuntimeError where its library is not installed."""
    if settings.blob_url is None:
        return BlobStore(settings.resolved_blob_dir)
    from storage.files.s3 import ObjectBlobStore

    return ObjectBlobStore.open(settings.blob_url, settings.resolved_blob_dir)
