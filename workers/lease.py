"""The heartbeat of a run: a thread with its own connection that renews the lease and brings back requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextvars import copy_context
from statistics import median

from runtime.settings import Settings
from storage.database.engine import Database, DatabaseUnavailable
from storage.runs.transitions import heartbeat

FENCE_AFTER = 2 / 3
"""Share of the lease without an answer after which the worker stops by itself, before anyone else may begin."""

REMEMBERED_STEPS = 101
"""Newest steps whose median tells how long one takes."""

log = logging.getLogger("richregime.worker")


class Lease:
    """Held while a run is executed; its answers are read by the run between steps."""

    def __init__(self, db: Database, settings: Settings, run_id: str, fence: int) -> None:
        self._db, self._settings = db, settings
        self._run_id, self._fence = run_id, fence
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._answered_at = time.monotonic()
        self._progress = (0.0, 0.0, "")
        self._is_alive = False
        self._stepped_at: float | None = None
        self._steps: deque[float] = deque(maxlen=REMEMBERED_STEPS)
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._loop,), name=f"lease-{run_id}", daemon=True
        )

    @property
    def is_lost(self) -> bool:
        """Whether another may execute the run now: nothing may be written any more."""
        silent = time.monotonic() - self._answered_at > self._settings.lease_seconds * FENCE_AFTER
        return self._lost.is_set() or silent

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def note_life(self) -> None:
        """The run has done something: it does not hang. Cheap: may be called every step."""
        self._is_alive = True

    def note_step(self) -> None:
        """A step begins. Cheap: called every step."""
        now = time.monotonic()
        if self._stepped_at is not None:
            self._steps.append(now - self._stepped_at)
        self._stepped_at = now
        self._is_alive = True

    def note_progress(self, completed: float, total: float, unit: str) -> None:
        self._progress = (completed, total, unit)
        self._is_alive = True

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=20)

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.heartbeat_seconds):
            if not self.beat():
                return

    def beat(self) -> bool:
        """Renew the lease; False where it was lost. The progress is told only where the run has shown life since."""
        began = time.monotonic()
        is_alive, self._is_alive = self._is_alive, False
        progress = self._progress if is_alive else None
        try:
            step_seconds = median(steps) if (steps := list(self._steps)) else 0.0
            lease_seconds = self._settings.lease_seconds
            answer = heartbeat(
                self._db, self._run_id, self._fence, lease_seconds, progress, step_seconds
            )
        except DatabaseUnavailable as error:
            log.warning(
                "run %s: the heartbeat got no answer (%s)", self._run_id, type(error).__name__
            )
            return True
        self._answered_at = began
        if not answer.alive:
            self._lost.set()
            return False
        if answer.cancel_requested:
            self._cancelled.set()
        return True
