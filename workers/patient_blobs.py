"""Stored files for a run that waits while the object store does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from storage.errors import StorageUnavailable
from storage.files.blobs import BlobStore, StoredBlob

PATIENCE_SECONDS = 600.0
"""How long a run waits before it fails; the library itself repeats each request for minutes"""
RETRY_SECONDS = 5.0

Found = TypeVar("Found")

log = logging.getLogger("richregime.worker")


class PatientBlobs:
    """The methods of `BlobStore` that a run needs.

    on_wait: called before each repetition; it raises where the run must stop instead. All methods
    raise StorageUnavailable after `PATIENCE_SECONDS`.
    """

    def __init__(self, blobs: BlobStore, on_wait: Callable[[], None]) -> None:
        self._blobs, self._on_wait = blobs, on_wait

    def put(self, data: bytes) -> StoredBlob:
        return self._repeat(lambda: self._blobs.put(data))

    def read(self, sha256: str) -> bytes:
        return self._repeat(lambda: self._blobs.read(sha256))

    def exists(self, sha256: str) -> bool:
        return self._repeat(lambda: self._blobs.exists(sha256))

    def path(self, sha256: str) -> Path:
        return self._repeat(lambda: self._blobs.path(sha256))

    def _repeat(self, ask: Callable[[], Found]) -> Found:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except StorageUnavailable as error:
                if time.monotonic() > until:
                    raise
                log.warning("%s; the run waits and asks again", error)
            self._on_wait()
            time.sleep(RETRY_SECONDS)
