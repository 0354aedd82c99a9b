"""One pass over the table that mends what was lost: bells, leases, summaries. Needs neither broker nor leader."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from storage.blobs import BlobStore
from storage.db import Database
from storage.experiments import experiments_without_summary, store_summary
from storage.results import StoredPlotInput, summarize_experiment
from storage.runs import mark_rung, reap_expired, runs_to_ring
from storage.settings import Settings

log = logging.getLogger("richregime.reconciler")

Ring = Callable[[Sequence[tuple[str, str]]], None]


def reconcile(db: Database, blobs: BlobStore, settings: Settings, ring: Ring) -> None:
    """Take expired runs back, ring for queued runs that nobody has heard of, make missing summaries."""
    for run_id in reap_expired(db, settings.max_attempts):
        log.warning("run %s: its worker is silent, the lease is over", run_id)
    waiting = runs_to_ring(db, settings.ring_after_seconds)
    if waiting:
        ring(waiting)
        mark_rung(db, [run_id for run_id, _ in waiting])
    with db.read() as session:
        unfinished = experiments_without_summary(session)
    for experiment_id in unfinished:
        summary = summarize_experiment(StoredPlotInput(db, blobs, experiment_id))
        with db.write() as session:
            store_summary(session, experiment_id, summary)


class Reconciler:
    """A thread that reconciles every few seconds; every API and worker parent has one."""

    def __init__(self, one_pass: Callable[[], None], interval_seconds: float) -> None:
        self._pass, self._interval = one_pass, interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return once the pass under way is over."""
        self._stop.set()
        self._thread.join(timeout=20)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._pass()
            except (SQLAlchemyError, OSError) as error:
                log.warning("a pass was cut short (%s); the next one begins anew", type(error).__name__)
            except Exception:
                log.exception("a pass failed")
