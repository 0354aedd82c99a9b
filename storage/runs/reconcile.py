"""One pass over the table that mends what was lost: wake-ups, leases, summaries. Needs neither broker nor leader."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from runtime.fault_points import reach
from runtime.log_once import log_once
from runtime.settings import Settings
from storage.database.engine import Database
from storage.experiments.lifecycle import experiments_without_summary, get_experiment, store_summary
from storage.files.blobs import BlobStore
from storage.files.retention import delete_unreferenced, release_checkpoints
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs.lease_expiry import expire_leases
from storage.runs.placement import Needs
from storage.runs.transitions import mark_woken, runs_to_wake

log = logging.getLogger("richregime.reconciler")

SendWakeUps = Callable[[Sequence[tuple[str, Needs]]], None]


def reconcile(
    db: Database, blobs: BlobStore, settings: Settings, send_wake_ups: SendWakeUps
) -> None:
    """Take expired runs back, send wake-ups for queued runs that no worker was told of, make missing summaries."""
    for run_id in expire_leases(db, settings.max_attempts):
        log.warning("run %s: its worker is silent, the lease is over", run_id)
    waiting = runs_to_wake(db, settings.wake_after_seconds)
    if waiting:
        reach("wake.1")
        send_wake_ups(waiting)
        reach("wake.2")
        mark_woken(db, [run_id for run_id, _ in waiting])
    _make_summaries(db, blobs)


def _make_summaries(db: Database, blobs: BlobStore) -> None:
    last = ""
    while True:
        with db.read() as session:
            unfinished = experiments_without_summary(session, after=last)
        if not unfinished:
            return
        for experiment_id in unfinished:
            with log_once(f"experiment {experiment_id}: its summary could not be made"):
                finalize(db, blobs, experiment_id)
        last = unfinished[-1]


def finalize(db: Database, blobs: BlobStore, experiment_id: str) -> bool:
    """Make the summary of an experiment whose last run has ended, and drop the checkpoints that it does not keep.

    Whoever comes second changes nothing.
    """
    with db.read() as session:
        row = get_experiment(session, experiment_id)
        if not row.status.is_terminal or row.summary is not None:
            return False
    summary = summarize_experiment(StoredPlotInput(db, blobs, experiment_id))
    reach("summary.1")
    with db.write() as session:
        if get_experiment(session, experiment_id).last_event != row.last_event:
            return False  # it was reopened meanwhile: that summary is of the past
        stored = store_summary(session, experiment_id, summary)
        released = release_checkpoints(session, row) if stored else []
    reach("summary.2")
    delete_unreferenced(db, blobs, released)
    return stored


class Reconciler:
    """A thread that makes a pass every few seconds; every API and worker parent has one that reconciles."""

    def __init__(
        self, one_pass: Callable[[], None], interval_seconds: float, *, name: str = "reconciler"
    ) -> None:
        self._pass, self._interval = one_pass, interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_seconds: float = 20.0) -> None:
        """Return once the pass under way is over, or has taken too long."""
        self._stop.set()
        self._thread.join(timeout=patience_seconds)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._pass()
            except (SQLAlchemyError, OSError) as error:
                log.warning(
                    "a pass was cut short (%s); the next one begins anew", type(error).__name__
                )
            except Exception:
                log.exception("a pass failed")
