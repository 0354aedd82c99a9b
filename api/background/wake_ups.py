"""Sends wake-ups to the workers from a thread, so that no request waits for the broker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence

from storage.database.engine import Database, DatabaseError
from storage.delivery.wake_ups import BrokerUnavailable, WakeUps
from storage.runs.placement import Needs
from storage.runs.workers import count_idle

log = logging.getLogger("richregime.api")

BATCH_SECONDS = 0.02
"""The shortest time between two sends: one submission is sent at once, a burst in one batch."""


class WakeUpSender:
    """A thread that sends wake-ups; the reconciler sends again what is lost."""

    def __init__(self, wake_ups: WakeUps, db: Database) -> None:
        self._wake_ups, self._db = wake_ups, db
        self._waiting: queue.Queue[Sequence[Needs] | None] = queue.Queue(maxsize=10_000)
        self._thread = threading.Thread(target=self._loop, name="wake-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=3)

    def send(self, runs: Sequence[Needs]) -> None:
        """Send soon for runs with these needs; if the queue is full, the reconciler sends later."""
        try:
            self._waiting.put_nowait(runs)
        except queue.Full:
            log.warning("too many wake-ups are waiting; those of %d runs are sent later", len(runs))

    def _loop(self) -> None:
        while (runs := self._waiting.get()) is not None:
            started = time.monotonic()
            wake_ups = [*runs, *self._take_waiting()]
            try:
                with self._db.read() as session:
                    idle = count_idle(session)
                self._wake_ups.send(wake_ups, idle)
            except (BrokerUnavailable, DatabaseError) as error:
                log.warning(
                    "the wake-ups could not be sent (%s); they are sent again later",
                    error if isinstance(error, BrokerUnavailable) else type(error).__name__,
                )
            except Exception:  # the thread must live on: nothing restarts it
                log.exception("the wake-ups could not be sent; they are sent again later")
            time.sleep(max(0.0, started + BATCH_SECONDS - time.monotonic()))

    def _take_waiting(self) -> list[Needs]:
        """The wake-ups that are in the queue, up to a request to stop."""
        taken: list[Needs] = []
        while True:
            try:
                runs = self._waiting.get_nowait()
            except queue.Empty:
                return taken
            if runs is None:
                self._waiting.put(None)
                return taken
            taken += runs
