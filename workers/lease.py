"""The lease of a run: a thread that renews it by heartbeats and receives cancel requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextvars import copy_context
from statistics import median

from runtime.settings import Settings
from storage.database.engine import Database, DatabaseUnavailable
from storage.runs.heartbeats import Beat, Heartbeat, send_heartbeat, send_heartbeats
from workers.shared_heartbeats import SlotHeartbeats, seconds_to_tick

FENCE_AFTER = 2 / 3
"""A worker stops its run after this share of the lease without a renewal, before another worker
may claim the run."""

MAX_DELAY_SECONDS = 10.0
"""How late the thread may be; a longer delay is a pause of the process, and no computing time"""

PATIENT_BEATS = 2
"""For how many heartbeats' time it waits until another child has sent its own"""
PATIENT_SHARE = 1 / 6
"""Of a lease: it waits no longer, so that a heartbeat of its own still comes in time"""

REMEMBERED_STEPS = 101
"""Number of recent steps whose median is reported as the time of a step."""

log = logging.getLogger("richregime.worker")


class Lease:
    """Held while a run is executed. The run reads `is_lost` and `is_cancelled` between steps.

    elapsed_seconds: computing time of earlier attempts. shared: sends its heartbeats together with
    those of the parent's other children.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        run_id: str,
        fence: int,
        elapsed_seconds: float = 0.0,
        shared: SlotHeartbeats | None = None,
    ) -> None:
        self._db, self._settings, self._shared = db, settings, shared
        self._run_id, self._fence = run_id, fence
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._hand_back = False
        self._renewed_at = time.monotonic()
        self._counted = (elapsed_seconds, self._renewed_at)
        """Computing time up to a moment, and the moment"""
        self._progress = (0.0, 0.0, "")
        self._is_active = False
        self._stepped_at: float | None = None
        self._steps: deque[float] = deque(maxlen=REMEMBERED_STEPS)
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._loop,), name=f"lease-{run_id}", daemon=True
        )

    @property
    def is_lost(self) -> bool:
        """Whether another worker may have the run: then nothing more may be written.

        Where the lease was not renewed in time, one renewal is tried: after a pause of this process
        the run may still be its own, and only the fence in the database tells.
        """
        if not self._lost.is_set() and self._is_overdue():
            self.beat()
        return self._lost.is_set() or self._is_overdue()

    def _is_overdue(self) -> bool:
        return time.monotonic() - self._renewed_at > self._settings.lease_seconds * FENCE_AFTER

    @property
    def elapsed_seconds(self) -> float:
        """Computing time of all attempts, by this process's own clock, without its pauses."""
        counted, until = self._counted
        longest = self._settings.heartbeat_seconds + MAX_DELAY_SECONDS
        return counted + min(time.monotonic() - until, longest)

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def is_handed_back(self) -> bool:
        """Whether the run is to be saved and queued again, because its worker is drained."""
        return self._hand_back

    def note_activity(self) -> None:
        """Record that the run is active. Cheap: may be called every step."""
        self._is_active = True

    def note_step(self) -> None:
        """Record that a step begins. Cheap: called every step."""
        now = time.monotonic()
        if self._stepped_at is not None:
            self._steps.append(now - self._stepped_at)
        self._stepped_at = now
        self._is_active = True

    def note_progress(self, completed: float, total: float, unit: str) -> None:
        self._progress = (completed, total, unit)
        self._is_active = True

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=20)

    def _loop(self) -> None:
        while not self._stop.wait(seconds_to_tick(self._settings.heartbeat_seconds)):
            self._count()
            if not self._beat_with_others():
                return
            self._count()

    def _count(self) -> None:
        """The thread calls this so often that a longer time without a call was a pause."""
        self._counted = (self.elapsed_seconds, time.monotonic())

    def beat(self, *, is_last: bool = False) -> bool:
        """Renew the lease; False if it was lost.

        Progress is sent only if the run was active since the last heartbeat. is_last: it is sent in
        any case, as the heartbeat that had it may still wait for those of other runs.
        """
        self._is_active |= is_last
        return self._send_alone(self._next_beat())

    def _beat_with_others(self) -> bool:
        """As `beat`, in one transaction with the parent's other children where that works."""
        if self._shared is None:
            return self.beat()
        beat, began = self._next_beat(), time.monotonic()
        lease_seconds = self._settings.lease_seconds
        patience = min(
            PATIENT_BEATS * self._settings.heartbeat_seconds, PATIENT_SHARE * lease_seconds
        )
        try:
            answer = self._shared.renew(
                beat, lambda beats: send_heartbeats(self._db, beats, lease_seconds), patience
            )
        except DatabaseUnavailable as error:
            return self._note_failure(error)
        return self._send_alone(beat) if answer is None else self._receive(answer, began)

    def _send_alone(self, beat: Beat) -> bool:
        began = time.monotonic()
        try:
            answer = send_heartbeat(self._db, beat, self._settings.lease_seconds)
        except DatabaseUnavailable as error:
            return self._note_failure(error)
        return self._receive(answer, began)

    def _note_failure(self, error: DatabaseUnavailable) -> bool:
        log.warning("run %s: the heartbeat failed (%s)", self._run_id, type(error).__name__)
        return True

    def _next_beat(self) -> Beat:
        is_active, self._is_active = self._is_active, False
        steps = list(self._steps)
        return Beat(
            self._run_id,
            self._fence,
            self._progress if is_active else None,
            median(steps) if steps else 0.0,
            self.elapsed_seconds,
        )

    def _receive(self, answer: Heartbeat, began: float) -> bool:
        """began: a moment before the lease was renewed."""
        self._renewed_at = max(self._renewed_at, began)
        if not answer.alive:
            self._lost.set()
            return False
        self._hand_back = answer.hand_back
        if answer.cancel_requested:
            self._cancelled.set()
        return True
