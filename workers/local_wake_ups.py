"""Wake-ups without the broker: a parent whose slots stay idle beside queued runs wakes them itself.

The broker may be full, or have lost a message. Celery's event loop must run: while a broker cannot
be reached at all, Celery only tries to connect.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from storage.database.engine import Database
from storage.runs.placement import Capacity
from storage.runs.running import workers_with_runs
from storage.runs.transitions import list_overdue_needs
from workers.tasks import look_for_runs

log = logging.getLogger("richregime.worker")


class LocalWakeUps:
    """One thread calls `check`, the event loop's thread calls `send`.

    wake_after_seconds: how long a run waits for the broker's wake-up, and between two checks.
    """

    def __init__(self, capacity: Capacity, wake_after_seconds: float) -> None:
        self._capacity, self._wake_after = capacity, wake_after_seconds
        self._checked_at = time.monotonic()
        self._due = 0
        self._sent: list[Any] = []

    def check(self, db: Database, prefix: str, ready: int) -> None:
        """Request a wake-up for each idle slot if a run that fits has waited for too long.

        prefix: of the names of this parent's children. ready: number of its ready slots.
        """
        if time.monotonic() - self._checked_at < self._wake_after:
            return
        self._checked_at = time.monotonic()
        idle = ready - len(workers_with_runs(db, prefix))
        if idle > 0:
            with db.read() as session:
                overdue = list_overdue_needs(session, self._wake_after)
            if any(self._capacity.fits(needs) for needs in overdue):
                self._due = idle

    def send(self, pool: Any) -> None:
        """Give each requested wake-up to the pool, as long as earlier ones are not all waiting."""
        due, self._due = self._due, 0
        self._sent = [result for result in self._sent if not result.ready()]
        for _ in range(due - len(self._sent)):
            self._sent.append(pool.apply_async(look_for_runs, error_callback=_log_error))


def _log_error(info: Any) -> None:
    log.error("a child could not look for queued runs: %s", info)
