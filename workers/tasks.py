"""The task behind the doorbell: claim the best queued run, again and again until none waits."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import dataclass
from typing import Any

from storage.blobs import BlobStore
from storage.db import Database
from storage.runs import claim_next
from storage.settings import Settings
from workers.execution import execute_run


@dataclass(slots=True)
class Child:
    """A worker's child process: its own connections, its device, whether it is asked to yield."""

    settings: Settings
    db: Database
    blobs: BlobStore
    queue: str
    device: str
    asked_to_yield: threading.Event

    @property
    def owner(self) -> str:
        return owner_name(os.getppid(), os.getpid())


def owner_name(parent: int, child: int) -> str:
    """`host:parent:child`, so that a parent knows the runs of its own dead children."""
    return f"{socket.gethostname()}:{parent}:{child}"


def start_child(settings: Settings, queue: str) -> Child:
    """Prepare a fresh child: torch is imported here and nowhere above, and stays warm from run to run."""
    import torch

    from engine.determinism import prepare_process

    prepare_process()
    torch.set_num_threads(settings.resolved_threads_per_run)
    child = Child(
        settings,
        Database(settings.resolved_database_url),
        BlobStore(settings.resolved_blob_dir),
        queue,
        "cuda" if queue == "gpu" else "cpu",
        threading.Event(),
    )
    _warm(child)
    signal.signal(signal.SIGUSR1, lambda *_: child.asked_to_yield.set())
    return child


def _warm(child: Child) -> None:
    """Import the rooms' procedures and load the embedded data set before the first run asks for them."""
    from engine.experiments.registry import kinds

    for kind in kinds().values():
        kind.load_run()


def work(child: Child, hint: str) -> None:
    """Execute queued runs until none is left for this worker, or until asked to yield."""
    while not child.asked_to_yield.is_set():
        claim = claim_next(
            child.db,
            owner=child.owner,
            queue=child.queue,
            device=child.device,
            lease_seconds=child.settings.lease_seconds,
            hint=hint,
        )
        if claim is None:
            return
        execute_run(child.db, child.blobs, child.settings, claim, child.device, child.asked_to_yield.is_set)


def register(app: Any, child_of: Any) -> Any:
    """Bind the task to a Celery application; `child_of` gives this process's Child."""
    from storage.queue import EXECUTE

    @app.task(name=EXECUTE)  # type: ignore[untyped-decorator]
    def execute(run_id: str) -> None:
        work(child_of(), run_id)

    return execute
