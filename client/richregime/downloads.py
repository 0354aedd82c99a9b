"""Downloads that can be resumed; a file is complete and checked, or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx

from richregime import calls
from richregime.errors import BadDownload
from richregime.types import Artifact, Checkpoint

MAX_CONNECTIONS = 5
"""Connections that one download may use; each resumes where the last one broke."""


class Download:
    """One download: `TARGET.part` grows, and is renamed once its sha256 is right."""

    def __init__(self, stored: Artifact | Checkpoint, target: Path) -> None:
        self._stored = stored
        self._target = target
        self._part = target.with_name(f"{target.name}.{stored.sha256[:12]}.part")
        target.parent.mkdir(parents=True, exist_ok=True)

    @property
    def offset(self) -> int:
        """The number of bytes on the disk."""
        return self._part.stat().st_size if self._part.exists() else 0

    @property
    def is_complete(self) -> bool:
        return self.offset >= self._stored.bytes

    def next_call(self) -> calls.Call[bytes]:
        return calls.read_artifact(self._stored.id, self.offset)

    def start(self, response: httpx.Response) -> None:
        """Read the status of a response. A whole body instead of a range restarts the file."""
        if response.is_error:
            raise calls.error_of(response)
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._part.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        with self._part.open("ab") as file:
            file.write(chunk)

    def finish(self) -> Path:
        """Check the sha256 and rename the file. A wrong file is deleted; raises BadDownload."""
        digest = hashlib.sha256()
        self._part.touch()  # an empty artifact has no chunk
        with self._part.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if digest.hexdigest() != self._stored.sha256:
            self._part.unlink()
            raise BadDownload(
                f"{self._stored.id} ({self._stored.name}): sha256 is {digest.hexdigest()}, "
                f"the service states {self._stored.sha256}"
            )
        os.replace(self._part, self._target)
        return self._target
