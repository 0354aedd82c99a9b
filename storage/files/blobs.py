"""Stored bytes, addressed by their sha256, in a folder: written whole or not at all, checked when read."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.fault_points import reach
from runtime.settings import Settings
from storage.errors import CorruptBlob, NotFound, StorageFull

ASIDE = ".aside"
"""Ending of a file that is on its way out, or back."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit on files takes no more"""


@contextmanager
def raising_storage_full() -> Iterator[None]:
    """Raises StorageFull for what the system says of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull from error
        raise


@dataclass(frozen=True, slots=True)
class StoredBlob:
    sha256: str
    num_bytes: int
    is_new: bool = field(default=True, compare=False)
    """Whether it was not there before"""


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
        """Move a finished file of the same file system in, its bytes never in memory at once; it stays where it is if the
        store has it already. Raises StorageFull."""
        with raising_storage_full():
            with source.open("rb+") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            blob = StoredBlob(digest, source.stat().st_size)
            path = self._place(digest)
            if self._has(blob):
                return replace(blob, is_new=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
            _sync_folder(path.parent)
            return blob

    def _has(self, blob: StoredBlob) -> bool:
        """Whether the whole file is there; it is made young, which the sweep of orphans spares."""
        path = self._place(blob.sha256)
        try:
            if path.stat().st_size != blob.num_bytes:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh name beside the stored files, for a file that `put_file` may take; what is there after the block goes,
        and the sweep removes what a crash has left. Raises StorageFull."""
        path = self._place(f"{secrets.token_hex(32)}.partial")
        with raising_storage_full():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

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
    from storage.files.s3 import ObjectBlobStore

    return ObjectBlobStore.open(settings.blob_url, settings.resolved_blob_dir)
