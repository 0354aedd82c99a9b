"""Stored files in an object store (S3), with a local folder as cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.errors import CorruptBlob, NotFound
from storage.files.blobs import ASIDE, BlobStore, StoredBlob


class ObjectBlobStore(BlobStore):
    """The object store is authoritative; the folder holds copies, each verified when fetched.

    store: of the library `obstore`, which reads the credentials from the environment.
    """

    def __init__(self, store: Any, cache: Path) -> None:
        super().__init__(cache)
        self._store = store

    @classmethod
    def open(cls, url: str, cache: Path) -> ObjectBlobStore:
        """url: `s3://bucket/prefix`. Raises RuntimeError where the extra `s3` is not installed."""
        try:
            from obstore.store import from_url
        except ImportError:
            raise RuntimeError(
                "RICHREGIME_BLOB_URL needs the extra `s3`: pip install '.[s3]'"
            ) from None
        return cls(from_url(url), cache)

    def path(self, sha256: str) -> Path:
        """The local copy, fetched where missing; no file exists where the store has no object."""
        path = self._path_of(sha256)
        if not path.exists():
            with suppress(NotFound, CorruptBlob):
                self.read(sha256)
        return path

    def put(self, data: bytes) -> StoredBlob:
        blob = super().put(data)
        self._store.put(_key(blob.sha256), data)
        return blob

    def put_file(self, source: Path) -> StoredBlob:
        blob = super().put_file(source)
        self._store.put(_key(blob.sha256), self._path_of(blob.sha256))
        return blob

    def read(self, sha256: str) -> bytes:
        with suppress(NotFound, CorruptBlob):
            return super().read(sha256)
        try:
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
            self._store.head(_key(sha256))
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        super().delete(name)
        with suppress(FileNotFoundError):
            self._store.delete(_key(name))

    def set_aside(self, sha256: str) -> bool:
        super().delete(sha256)
        try:
            self._store.rename(_key(sha256), _key(sha256 + ASIDE), overwrite=True)
        except FileNotFoundError:
            return False
        return True

    def put_back(self, sha256: str) -> None:
        with suppress(FileNotFoundError):
            self._store.rename(_key(sha256 + ASIDE), _key(sha256), overwrite=True)

    def list_older_than(self, seconds: float, now: float) -> Iterator[tuple[str, int]]:
        """The objects of the store, then local files without an object.

        These are partial files and copies of objects that another host has deleted.
        """
        stored = set()
        for page in self._store.list():
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


def _key(name: str) -> str:
    return f"{name[:2]}/{name}"
