"""Writing a download to disk so that it can be taken up again and is only ever complete and checked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx

from richregime import calls
from richregime.errors import BadDownload, error_of
from schemas.resources import Artifact, Checkpoint

MAX_CONNECTIONS = 5
"""Connections that one download may use before it gives up; each goes on where the last one broke."""


class Download:
    """One file on its way: bytes gather in `TARGET.part`, and become `TARGET` once their sha256 is right."""

    def __init__(self, stored: Artifact | Checkpoint, target: Path) -> None:
        self._stored = stored
        self._target = target
        self._part = target.with_name(f"{target.name}.{stored.sha256[:12]}.part")
        target.parent.mkdir(parents=True, exist_ok=True)

    @property
    def offset(self) -> int:
        """Bytes that are already here."""
        return self._part.stat().st_size if self._part.exists() else 0

    @property
    def is_whole(self) -> bool:
        return self.offset >= self._stored.bytes

    def next_call(self) -> calls.Call[bytes]:
        return calls.read_artifact(self._stored.id, self.offset)

    def begin(self, response: httpx.Response) -> None:
        """Look at an answer's head: a whole body where a part was asked for starts the file anew."""
        if response.is_error:
            raise error_of(response)
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._part.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        with self._part.open("ab") as file:
            file.write(chunk)

    def finish(self) -> Path:
        """Check the bytes and give the file its name. Raises BadDownload, and forgets them, where they are wrong."""
        digest = hashlib.sha256()
        with self._part.open("ab"):
            pass  # an empty artifact sends no chunk, and is a file all the same
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
