"""A worker's parent: a Celery worker that never touches torch, and minds the children that do."""

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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import celery.apps.worker
from celery import signals
from celery.exceptions import SecurityWarning

from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from storage.database.engine import Database
from storage.delivery.wake_ups import BrokerUnavailable, WakeUps, make_celery
from storage.files.blobs import open_blobs
from storage.files.retention import sweep_orphans
from storage.runs.lease_expiry import expire_worker
from storage.runs.placement import Needs
from storage.runs.reconcile import Reconciler, reconcile
from storage.runs.running import workers_with_runs
from storage.runs.workers import count_idle, note_worker_seen, register_worker, remove_worker
from workers.devices import describe_device, offer
from workers.process_control import DrainRequest, ForkGuard, is_running
from workers.tasks import Child, register, start_child
from workers.watchdog import stop_deaf_children

DRAIN_SECONDS = 25.0
SWEEP_SECONDS = 600.0
CHILD_START_SECONDS = 180.0
"""Importing torch on a busy machine takes longer than the 4 s that Celery allows a child."""

log = logging.getLogger("richregime.worker")


class Worker:
    """Announces itself, reconciles, takes back at once the runs of its dead children, ends those that are deaf.

    Its database is open only inside a pass, and nothing forks then.
    """

    def __init__(
        self, settings: Settings, device_class: str, slots: int, seen_file: Path | None = None
    ) -> None:
        self.settings, self.device_class, self.slots = settings, device_class, slots
        self.device = describe_device(device_class)
        self.capacity = offer(settings, device_class)
        self.app = make_celery(settings, self.capacity.channel)
        self._wake_ups = WakeUps(self.app)
        self.app.conf.worker_proc_alive_timeout = CHILD_START_SECONDS
        self._seen_file = seen_file
        self._child: Child | None = None
        self._pool: Any = None
        self._id = ""
        self._swept_at = time.monotonic()
        self._drain = DrainRequest()
        self._forks = ForkGuard()
        self._db = Database(settings.resolved_database_url)
        self._blobs = open_blobs(settings)
        self._reconciler = Reconciler(self._one_pass, settings.reconcile_seconds)
        register(self.app, self._require_child)
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)
        signals.setup_logging.connect(_keep_logging, weak=False)

    def run(self) -> int:
        """Work until a signal ends it."""
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
        log_what_celery_prints()
        warnings.simplefilter(
            "ignore", SecurityWarning
        )  # it fears pickle, which is not accepted here
        self.app.worker_main(arguments)
        return 0

    def _require_child(self) -> Child:
        assert self._child is not None, "a task runs in a child only"
        return self._child

    def _on_child(self, **_: Any) -> None:
        self._child = start_child(self.settings, self.capacity, self._drain)

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._pool = sender.pool
        with self._forks.no_fork():
            with self._db.write() as session:
                self._id = register_worker(
                    session,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    device=self.device.name,
                    device_class=self.device_class,
                    slots=self.slots,
                    memory_bytes=self.capacity.memory_bytes,
                    host_memory_bytes=self.capacity.host_memory_bytes,
                    labels=self.settings.worker_labels,
                    versions={
                        "python": platform.python_version(),
                        "richregime": SERVICE_VERSION,
                        "torch": version("torch"),
                    },
                )
            with self._logging_broker_errors():  # for runs that waited while no worker was there
                self._wake_ups.send_to(self.capacity, self.slots)
            self._db.dispose()
        self._reconciler.start()
        log.info(
            "listening for %s runs in %d slots on %s",
            self.device_class,
            self.slots,
            self.device.name,
        )

    def _one_pass(self) -> None:
        with self._forks.no_fork():
            try:
                with self._db.write() as session:
                    note_worker_seen(session, self._id)
                if self._seen_file is not None:
                    self._seen_file.touch()
                self._expire_dead_children()
                stop_deaf_children(self._db, self._prefix())
                reconcile(self._db, self._blobs, self.settings, self._send_wake_ups)
                self._sweep()
            finally:
                self._db.dispose()

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            deleted = sweep_orphans(self._db, self._blobs)
            if deleted:
                log.info("%d stored files that nothing speaks of are deleted", deleted)

    def _prefix(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}:"

    def _expire_dead_children(self) -> None:
        for worker in workers_with_runs(self._db, self._prefix()):
            child = int(worker.rpartition(":")[2])
            if not is_running(child, os.getpid()):
                for run_id in expire_worker(self._db, worker, self.settings.max_attempts):
                    log.warning("run %s: the process %d that executed it is dead", run_id, child)

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
            log.warning(
                "the broker does not answer (%s); wake-ups are sent again later",
                type(error).__name__,
            )

    def _on_shutting_down(self, **_: Any) -> None:
        """Ask every child to save its run and give it back; Celery then waits for them."""
        if not self._drain.is_set():
            self._drain.set()
            threading.Thread(target=self._end_at_last, name="drain", daemon=True).start()

    def _end_at_last(self) -> None:
        """Whoever has not given its run back in time is killed, and its run taken back."""
        time.sleep(DRAIN_SECONDS)
        log.warning("not drained after %.0f s: the children are killed", DRAIN_SECONDS)
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
            self._reconciler.stop()
            with self._db.write() as session:
                remove_worker(session, self._id)
            self._db.dispose()


def log_what_celery_prints() -> None:
    """Its words at a signal would go past the log, which may be one for machines."""

    def say(words: str, *_: Any) -> None:
        log.info(words)

    celery.apps.worker.safe_say = say


def _keep_logging(**_: Any) -> None:
    """Celery leaves the logging alone where somebody listens to this signal."""
