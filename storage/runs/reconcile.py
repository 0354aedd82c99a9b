"""One pass over the tables that repairs lost wake-ups, expired leases and missing summaries.

It needs neither the broker nor a leader: every process may run it at any time. Of all processes
that do so regularly, one at a time runs it for all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from runtime.fault_points import reach
from runtime.settings import Settings
from storage.database.engine import Database, DatabaseUnavailable, database_now
from storage.experiments.finalize import finalize_all
from storage.experiments.hidden import remove_abandoned
from storage.files.blobs import BlobStore
from storage.runs.clock_watch import ClockWatch
from storage.runs.lease_expiry import expire_leases, shorten_leases
from storage.runs.passes import begin_pass
from storage.runs.placement import Needs
from storage.runs.transitions import list_runs_to_wake, mark_woken

log = logging.getLogger("richregime.reconciler")

SendWakeUps = Callable[[Sequence[Needs]], None]


def reconcile(
    db: Database,
    blobs: BlobStore,
    settings: Settings,
    send_wake_ups: SendWakeUps,
    clock: ClockWatch,
) -> None:
    """Requeue runs whose lease has expired, send overdue wake-ups, store missing summaries.

    Also delete what interrupted imports and deletions left behind. Nothing expires while the clock
    is not settled.
    """
    with db.read() as session:
        clock.compare(database_now(session))
    shorten_leases(db, settings.lease_seconds)
    if clock.is_settled:
        for run_id in expire_leases(db, settings.max_attempts):
            log.warning("run %s: its lease has expired; the worker sends no heartbeat", run_id)
    waiting = list_runs_to_wake(db, settings.wake_after_seconds)
    if waiting:
        reach("wake.1")
        send_wake_ups(list(waiting.values()))
        reach("wake.2")
        mark_woken(db, list(waiting))
    finalize_all(db, blobs)
    if clock.is_settled:
        remove_abandoned(db)


def reconcile_in_turn(
    db: Database,
    blobs: BlobStore,
    settings: Settings,
    send_wake_ups: SendWakeUps,
    clock: ClockWatch,
) -> bool:
    """As `reconcile`, unless another process has done so within `reconcile_seconds`.

    Returns whether it did.
    """
    if begin_pass(db, "reconcile", settings.reconcile_seconds):
        reconcile(db, blobs, settings, send_wake_ups, clock)
        return True
    with db.read() as session:
        clock.compare(database_now(session))
    return False


class Reconciler:
    """A thread that calls `one_pass` every `interval_seconds`; errors do not end it.

    Every API process and every worker parent runs one.
    """

    def __init__(
        self, one_pass: Callable[[], None], interval_seconds: float, *, name: str = "reconciler"
    ) -> None:
        self._pass, self._interval = one_pass, interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Return when the current pass has ended or the timeout has passed."""
        self._stop.set()
        self._thread.join(timeout=timeout_seconds)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._pass()
            except (DatabaseUnavailable, OSError) as error:
                log.warning("a pass failed (%s); the next one starts anew", type(error).__name__)
            except Exception:
                log.exception("a pass failed")
