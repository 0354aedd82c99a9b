"""A worker: `python -m workers.main --queue cpu --slots 2`. A Celery parent that never touches torch, and its children."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from celery import signals

from storage.blobs import BlobStore
from storage.db import Database
from storage.queue import BrokerUnavailable, Doorbell, make_celery
from storage.reconcile import Reconciler, reconcile
from storage.runs import owners_of_running, reap_owner
from storage.settings import Settings
from storage.workers import count_listening, note_worker_seen, register_worker, remove_worker
from workers.tasks import Child, owner_name, register, start_child

log = logging.getLogger("richregime.worker")


class Worker:
    """The parent: announces itself, reconciles, takes back the runs of its dead children."""

    def __init__(self, settings: Settings, queue: str, slots: int) -> None:
        self.settings, self.queue, self.slots = settings, queue, slots
        self.app = make_celery(settings)
        self._doorbell = Doorbell(self.app)
        self._child: Child | None = None
        register(self.app, self._require_child)
        self._pool: Any = None
        self._id = ""
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)
        signals.setup_logging.connect(lambda **_: None, weak=False)

    def run(self) -> int:
        """Work until a signal ends it."""
        arguments = ["worker", "--pool=prefork", f"--concurrency={self.slots}", f"--queues={self.queue}"]
        arguments += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
        arguments += ["--hostname", f"{self.queue}-{os.getpid()}@%h"]
        self.app.worker_main(arguments)
        return 0

    def _require_child(self) -> Child:
        assert self._child is not None, "a task runs in a child only"
        return self._child

    def _on_child(self, **_: Any) -> None:
        self._child = start_child(self.settings, self.queue)

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._pool = sender.pool
        self._db = Database(self.settings.resolved_database_url)
        self._blobs = BlobStore(self.settings.resolved_blob_dir)
        with self._db.write() as session:
            self._id = register_worker(
                session,
                host=socket.gethostname(),
                pid=os.getpid(),
                device=describe_device(self.queue),
                queue=self.queue,
                slots=self.slots,
                memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                versions={
                    "python": platform.python_version(),
                    "richregime": version("richregime"),
                    "torch": version("torch"),
                },
            )
        self._reconciler = Reconciler(self._reconcile, self.settings.reconcile_seconds)
        self._reconciler.start()
        self._ring([("", self.queue)] * self.slots)  # runs that waited while no worker was there
        log.info("listening on queue %s with %d slots", self.queue, self.slots)

    def _reconcile(self) -> None:
        with self._db.write() as session:
            note_worker_seen(session, self._id)
        for owner in owners_of_running(self._db, f"{socket.gethostname()}:{os.getpid()}:"):
            child = int(owner.rsplit(":", 1)[1])
            if not Path(f"/proc/{child}").exists() or not self._is_ours(child):
                for run_id in reap_owner(self._db, owner, self.settings.max_attempts):
                    log.warning("run %s: the process %d that executed it is dead", run_id, child)
        reconcile(self._db, self._blobs, self.settings, self._ring)

    def _is_ours(self, pid: int) -> bool:
        return pid in self._children()

    def _children(self) -> list[int]:
        pool = getattr(self._pool, "_pool", None)
        return [process.pid for process in getattr(pool, "_pool", [])]

    def _ring(self, runs: Any) -> None:
        try:
            with self._db.read() as session:
                listening = count_listening(session)
            self._doorbell.ring(runs, listening)
        except BrokerUnavailable as error:
            log.warning(
                "the broker does not answer (%s); queued runs are rung again later", type(error).__name__
            )

    def _on_shutting_down(self, **_: Any) -> None:
        """Ask every child to save its run and give it back."""
        for pid in self._children():
            try:
                os.kill(pid, signal.SIGUSR1)
            except ProcessLookupError:
                continue

    def _on_shutdown(self, **_: Any) -> None:
        if self._id:
            self._reconciler.stop()
            with self._db.write() as session:
                remove_worker(session, self._id)
            self._db.dispose()


def describe_device(queue: str) -> str:
    """The device by name: `cpu`, or what NVML calls the GPU (torch is not asked: its context survives no fork)."""
    if queue == "cpu":
        return "cpu"
    import pynvml

    pynvml.nvmlInit()
    try:
        index = int(os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))
        return str(name)
    finally:
        pynvml.nvmlShutdown()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="richregime worker", description=__doc__)
    parser.add_argument("--queue", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument(
        "--slots", type=int, help="runs computed at once; the setting cpu_workers, or 1 on a GPU"
    )
    parser.add_argument("--home", type=Path, help="folder of all state")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("celery").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = Settings(home=chosen.home) if chosen.home else Settings()
    slots = chosen.slots or (1 if chosen.queue == "gpu" else settings.cpu_workers)
    return Worker(settings, chosen.queue, slots).run()


__all__ = ["Worker", "main", "owner_name"]

if __name__ == "__main__":
    sys.exit(main())
