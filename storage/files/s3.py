"""Stored files in an object store (S3), with a local folder as cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from storage.errors import CorruptBlob, NotFound, StorageUnavailable
from storage.files.blobs import ASIDE, BlobStore, StoredBlob

REPEAT_SECONDS = 30.0
"""How long a request is repeated. A run waits longer (`workers.patient_blobs`), a client of the API
gets an error"""
MAX_RETRIES = 5
DELETE_ATTEMPTS = 3

log = logging.getLogger("richregime.storage")


class ObjectBlobStore(BlobStore):
    """The object store is authoritative; the folder holds copies, each verified when fetched.

    store: of the library `obstore`, which reads the credentials from the environment. Every method
    that asks it raises StorageUnavailable where it does not answer.
    """

    def __init__(self, store: Any, cache: Path) -> None:
        super().__init__(cache)
        self._store = store

    @classmethod
    def open(cls, url: str, cache: Path) -> ObjectBlobStore:
        """url: `s3://bucket/prefix`. Raises RuntimeError where it cannot be opened."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError:
            raise RuntimeError(
                "RICHREGIME_BLOB_URL needs the extra `s3`: pip install '.[s3]'"
            ) from None
        timeout = timedelta(seconds=REPEAT_SECONDS)
        retries: Any = {"max_retries": MAX_RETRIES, "retry_timeout": timeout}
        try:
            return cls(from_url(url, retry_config=retries), cache)
        except BaseError as error:  # its text repeats the address and the configuration
            kind = type(error).__name__
            raise RuntimeError(f"RICHREGIME_BLOB_URL cannot be opened ({kind})") from None

    def path(self, sha256: str) -> Path:
        """The local copy, fetched where missing; no file exists where the store has no object."""
        path = self._path_of(sha256)
        if not path.exists():
            with suppress(NotFound, CorruptBlob):
                self.read(sha256)
        return path

    def put(self, data: bytes) -> StoredBlob:
        blob = super().put(data)
        with _raising_unavailable():
            self._store.put(_key(blob.sha256), data)
        return blob

    def put_file(self, source: Path) -> StoredBlob:
        blob = super().put_file(source)
        with _raising_unavailable():
            self._store.put(_key(blob.sha256), self._path_of(blob.sha256))
        return blob

    def read(self, sha256: str) -> bytes:
        with suppress(NotFound, CorruptBlob):
            return super().read(sha256)
        try:
            with _raising_unavailable():
                data = bytes(self._store.get(_key(sha256)).bytes())
        except FileNotFoundError:
            raise NotFound(f"the stored file {sha256} is missing") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptBlob(f"the stored file {sha256} is damaged")
        super().delete(sha256)
        super().put(data)
        return data

    def exists(self, sha256: str) -> bool:
        try:
            with _raising_unavailable():
                self._store.head(_key(sha256))
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        super().delete(name)
        self._delete_object(name)

    def _delete_object(self, name: str) -> None:
        """The library does not repeat a deletion that was not answered in time; it may be."""
        for attempt in range(DELETE_ATTEMPTS):
            try:
                with _raising_unavailable():
                    self._store.delete(_key(name))
            except FileNotFoundError:
                return
            except StorageUnavailable:
                if attempt == DELETE_ATTEMPTS - 1:
                    raise
            else:
                return

    def _rename_object(self, old: str, new: str) -> bool:
        """False where there is no object `old`. Interrupted, it leaves one of them or both."""
        try:
            with _raising_unavailable():
                self._store.copy(_key(old), _key(new), overwrite=True)
        except FileNotFoundError:
            return False
        self._delete_object(old)
        return True

    def set_aside(self, sha256: str) -> bool:
        super().delete(sha256)
        return self._rename_object(sha256, sha256 + ASIDE)

    def put_back(self, sha256: str) -> None:
        self._rename_object(sha256 + ASIDE, sha256)

    def list_older_than(self, seconds: float, now: float) -> Iterator[tuple[str, int]]:
        """The objects of the store, then local files without an object.

        These are partial files and copies of objects that another host has deleted.
        """
        stored = set()
        pages = iter(self._store.list())
        while page := _next_page(pages):
            for entry in page:
                name = str(entry["path"]).rpartition("/")[2]
                stored.add(name)
                if now - entry["last_modified"].timestamp() > seconds:
                    yield name, int(entry["size"])
        for name, size in super().list_older_than(seconds, now):
            if name not in stored:
                yield name, size

    def free_bytes(self) -> int | None:
        return None


@contextmanager
def _raising_unavailable() -> Iterator[None]:
    """Raises StorageUnavailable where the library has given up after its retries.

    A request may have been executed although no answer came: all of them may be repeated.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        log.warning("the object store does not answer: %s", str(error).partition("\n")[0])
        raise StorageUnavailable(type(error).__name__) from error


def _next_page(pages: Iterator[Any]) -> Any:
    with _raising_unavailable():
        return next(pages, None)


def _key(name: str) -> str:
    return f"{name[:2]}/{name}"
