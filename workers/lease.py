"""The heartbeat of a run: a thread with its own connection that renews the lease and brings back requests."""

from __future__ import annotations

import logging
import threading
import time

from storage.db import Database, DatabaseError
from storage.runs import heartbeat
from storage.settings import Settings

FENCE_AFTER = 2 / 3
"""Share of the lease without an answer after which the worker stops by itself, before anyone else may begin."""


class Lease:
    """Held while a run is executed; its answers are read by the run between steps."""

    def __init__(self, db: Database, settings: Settings, run_id: str, fence: int) -> None:
        self._db, self._settings = db, settings
        self._run_id, self._fence = run_id, fence
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._answered_at = time.monotonic()
        self._progress: tuple[float, float, str] | None = None
        self._thread = threading.Thread(target=self._beat, name=f"lease-{run_id}", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether another may execute the run now: nothing may be written any more."""
        silent = time.monotonic() - self._answered_at > self._settings.lease_seconds * FENCE_AFTER
        return self._lost.is_set() or silent

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def note_progress(self, completed: float, total: float, unit: str) -> None:
        self._progress = (completed, total, unit)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=20)

    def _beat(self) -> None:
        """Once a second at least, so that a cancel request is seen within two."""
        interval = min(1.0, self._settings.heartbeat_seconds)
        while not self._stop.wait(interval):
            began = time.monotonic()
            try:
                answer = heartbeat(
                    self._db, self._run_id, self._fence, self._settings.lease_seconds, self._progress
                )
            except DatabaseError:
                logging.getLogger("richregime.worker").warning("heartbeat of %s got no answer", self._run_id)
                continue
            self._answered_at = began
            if not answer.alive:
                self._lost.set()
                return
            if answer.cancel_requested:
                self._cancelled.set()
