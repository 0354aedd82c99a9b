"""The parent process of a worker: runs Celery and supervises its children; never imports torch."""

from __future__ import annotations

import logging
import os
import platform
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import celery.apps.worker
from celery import signals
from celery.exceptions import SecurityWarning

from engine.durations import format_seconds
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from storage.database.engine import Database, DatabaseError, Session
from storage.delivery.wake_ups import BrokerUnavailable, WakeUps, make_celery
from storage.files.blobs import open_blobs
from storage.files.retention import sweep_orphans
from storage.runs.clock_watch import ClockWatch
from storage.runs.lease_expiry import expire_worker
from storage.runs.passes import begin_pass
from storage.runs.placement import Needs
from storage.runs.reconcile import Reconciler, reconcile_in_turn
from storage.runs.running import workers_with_runs
from storage.runs.workers import count_idle, note_worker_seen, register_worker, remove_worker
from workers.child_slots import ChildSlots
from workers.describer import Describer
from workers.devices import describe_device, make_capacity
from workers.local_wake_ups import LocalWakeUps
from workers.looks import look_at_all
from workers.process_control import DrainRequest, ForkGuard, is_running
from workers.shared_heartbeats import SharedHeartbeats
from workers.tasks import register_task, start_child
from workers.watchdog import Watchdog

DRAIN_SECONDS = 25.0
SWEEP_SECONDS = 600.0
READY_CHECK_SECONDS = 0.2
DESCRIBE_CHECK_SECONDS = 1.0
CHILD_START_SECONDS = 180.0
"""Importing torch on a busy machine takes longer than Celery's default of 4 s for a child."""

log = logging.getLogger("richregime.worker")


class Worker:
    """Registers itself, reconciles, requeues runs of its dead children, kills unresponsive ones.

    Its database is open only during maintenance, and no process is forked then.
    """

    def __init__(
        self, settings: Settings, device_class: str, slots: int, seen_file: Path | None = None
    ) -> None:
        self.settings, self.device_class, self.slots = settings, device_class, slots
        self.device = describe_device(device_class)
        self.capacity = make_capacity(settings, device_class)
        self.app = make_celery(settings, self.capacity.channel)
        self._wake_ups = WakeUps(self.app)
        self.app.conf.worker_proc_alive_timeout = CHILD_START_SECONDS
        self._seen_file = seen_file
        self._pool: Any = None
        self._id = ""
        self._children = ChildSlots(slots)
        self._heartbeats = SharedHeartbeats(slots)
        self._ready = 0
        """How many slots were ready at the last report"""
        self._swept_at = time.monotonic()
        self._local_wake_ups = LocalWakeUps(self.capacity, settings.wake_after_seconds)
        self._watchdog = Watchdog(settings.reconcile_seconds)
        self._clock = ClockWatch(settings.lease_seconds, settings.reconcile_seconds)
        self._drain = DrainRequest()
        self._forks = ForkGuard()
        self._db = Database(settings.resolved_database_url)
        self._blobs = open_blobs(settings)
        self._reconciler = Reconciler(self._run_maintenance, settings.reconcile_seconds)
        self._describer = Describer(settings)
        self._descriptions = Reconciler(self._describe, DESCRIBE_CHECK_SECONDS, name="describer")
        self._readiness = Reconciler(self._report_change, READY_CHECK_SECONDS, name="readiness")
        register_task(self.app)
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)
        signals.setup_logging.connect(_keep_logging, weak=False)

    def run(self) -> int:
        """Work until a signal stops the process; returns the exit status."""
        arguments = [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={self.slots}",
        ]
        arguments += [
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
        arguments += ["--hostname", f"{self.device_class}-{os.getpid()}@%h"]
        log_celery_messages()
        warnings.simplefilter("ignore", SecurityWarning)  # about pickle, which is not accepted
        self._read_plugins()
        self.app.worker_main(arguments)
        return 0

    def _read_plugins(self) -> None:
        """Before a run is executed, so that a client that sees a worker sees its plug-ins."""
        try:
            self._describer.read_plugins(self._db)
        except (DatabaseError, OSError) as error:
            log.warning("the plug-ins are read later: %s", type(error).__name__)
        finally:
            self._db.dispose()

    def _describe(self) -> None:
        with self._forks.no_fork():
            try:
                self._describer.check(self._db)
            finally:
                self._db.dispose()

    def _on_child(self, **_: Any) -> None:
        start_child(self.settings, self.capacity, self._drain, self._children, self._heartbeats)

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._pool = sender.pool
        sender.hub.on_tick.add(partial(self._local_wake_ups.send, self._pool))
        self._reconciler.start()
        self._readiness.start()
        self._descriptions.start()

    def _report_change(self) -> None:
        """Report at once that a child became ready or was lost."""
        if not self._id or self._children.count_ready() != self._ready:
            with self._forks.no_fork():
                try:
                    self._report()
                finally:
                    self._db.dispose()

    def _report(self) -> None:
        """Store that this worker is alive and how many slots are ready; wake those that became so.

        A worker without a row registers: at its start, and where the row was deleted.
        """
        ready = self._children.count_ready()
        with self._db.write(durable=False) as session:
            if not self._id or not note_worker_seen(session, self._id, ready):
                self._id = self._register(session, ready)
        before, self._ready = self._ready, ready
        if ready > before:
            with self._logging_broker_errors():  # for runs that queued while no slot was ready
                self._wake_ups.send_to(self.capacity, ready - before)
        if ready != before:
            log.info(
                "listening for %s runs in %d of %d slots on %s",
                self.device_class,
                ready,
                self.slots,
                self.device.name,
            )

    def _register(self, session: Session, ready: int) -> str:
        return register_worker(
            session,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self.device.name,
            device_class=self.device_class,
            slots=ready,
            memory_bytes=self.capacity.memory_bytes,
            host_memory_bytes=self.capacity.host_memory_bytes,
            labels=self.settings.worker_labels,
            versions={
                "python": platform.python_version(),
                "richregime": SERVICE_VERSION,
                "torch": version("torch"),
            },
        )

    def _run_maintenance(self) -> None:
        with self._forks.no_fork():
            try:
                self._report()
                if self._seen_file is not None:
                    self._seen_file.touch()
                self._expire_dead_children()
                self._watchdog.kill_unresponsive_children(self._db, self._child_prefix())
                self._local_wake_ups.check(self._db, self._child_prefix(), self._ready)
                self._look()
                reconcile_in_turn(
                    self._db, self._blobs, self.settings, self._send_wake_ups, self._clock
                )
                self._sweep()
            finally:
                self._db.dispose()

    def _look(self) -> None:
        """Make the looks that a child could not make, where no other parent does."""
        if not begin_pass(self._db, "looks", self.settings.reconcile_seconds):
            return
        needs = look_at_all(self._db, self._blobs, self.settings)
        if needs:
            self._send_wake_ups(needs)

    def _sweep(self) -> None:
        # The age of files comes from the wall clock.
        if time.monotonic() - self._swept_at > SWEEP_SECONDS and self._clock.is_settled:
            self._swept_at = time.monotonic()
            deleted = sweep_orphans(self._db, self._blobs)
            if deleted:
                log.info("deleted %d unreferenced files", deleted)

    def _child_prefix(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}:"

    def _expire_dead_children(self) -> None:
        for worker in workers_with_runs(self._db, self._child_prefix()):
            child = int(worker.rpartition(":")[2])
            if not is_running(child, os.getpid()):
                for run_id in expire_worker(self._db, worker, self.settings.max_attempts):
                    log.warning("run %s: its process %d is dead", run_id, child)

    def _send_wake_ups(self, runs: Sequence[Needs]) -> None:
        with self._db.read() as session:
            idle = count_idle(session)
        with self._logging_broker_errors():
            self._wake_ups.send(runs, idle)

    @staticmethod
    @contextmanager
    def _logging_broker_errors() -> Iterator[None]:
        try:
            yield
        except BrokerUnavailable as error:
            log.warning("the broker takes no wake-ups (%s); they are sent again later", error)

    def _on_shutting_down(self, **_: Any) -> None:
        """Ask every child to save and release its run; Celery then waits for them."""
        if not self._drain.is_set():
            self._drain.set()
            threading.Thread(target=self._kill_after_drain, name="drain", daemon=True).start()

    def _kill_after_drain(self) -> None:
        """Kill the children that have not released their runs in time, and requeue those runs."""
        time.sleep(DRAIN_SECONDS)
        log.warning("not drained after %s; the children are killed", format_seconds(DRAIN_SECONDS))
        for process in getattr(getattr(self._pool, "_pool", None), "_pool", ()):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.5)
        try:
            self._expire_dead_children()
        finally:
            os._exit(1)

    def _on_shutdown(self, **_: Any) -> None:
        if self._id:
            self._descriptions.stop()
            self._describer.stop()
            self._readiness.stop()
            self._reconciler.stop()
            with self._db.write() as session:
                remove_worker(session, self._id)
            self._db.dispose()


def log_celery_messages() -> None:
    """Send what Celery prints at a signal to the log, whose lines may have to be JSON."""

    def log_message(message: str, *_: Any) -> None:
        log.info(message)

    celery.apps.worker.safe_say = log_message


def _keep_logging(**_: Any) -> None:
    """Celery does not configure logging if this signal has a receiver."""
