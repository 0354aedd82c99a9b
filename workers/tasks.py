"""The task behind the wake-up: claim the best queued run, again and again until none waits."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery.worker.request import Request

from runtime.logs import log_context
from runtime.settings import Settings
from runtime.tracing import flush, span, start_tracing
from storage.database.engine import Database
from storage.delivery.wake_ups import WAKE_UP_TASK
from storage.files.blobs import BlobStore, open_blobs
from storage.runs.claim import Claim, claim_next
from storage.runs.placement import Capacity
from workers.execution import DeviceBroken, execute_run
from workers.process_control import DrainRequest

log = logging.getLogger("richregime.worker")


@dataclass(slots=True)
class Child:
    """A worker's child process: its own connections, what it offers, whether it is asked to yield."""

    settings: Settings
    db: Database
    blobs: BlobStore
    capacity: Capacity
    drain: DrainRequest
    worker: str
    """`host:parent:child`, so that a parent knows the runs of its own dead children"""

    def claim(self) -> tuple[Claim, str] | None:
        """The first run that fits and the device for it. A GPU's worker computes what must run on a CPU as well."""
        offered = self.capacity
        passes = [("cpu", "cpu", offered.host_memory_bytes)]
        if offered.device_class == "gpu":
            passes.insert(0, ("gpu", "cuda", offered.memory_bytes))
        for device_class, device, memory_bytes in passes:
            found = claim_next(
                self.db,
                worker=self.worker,
                device_class=device_class,
                device=device,
                lease_seconds=self.settings.lease_seconds,
                memory_bytes=memory_bytes,
                labels=self.settings.worker_labels,
                limit_per_owner=self.settings.limit_running_per_owner,
            )
            if found is not None:
                return found, device
        return None


def start_child(settings: Settings, capacity: Capacity, drain: DrainRequest) -> Child:
    """Prepare a fresh child: torch is imported here and nowhere above, and stays warm from run to run."""
    import torch

    from engine.determinism import prepare_process

    torch.set_num_threads(settings.resolved_threads_per_run)
    prepare_process()
    _warm()
    start_tracing("worker")
    return Child(
        settings,
        Database(settings.resolved_database_url),
        open_blobs(settings),
        capacity,
        drain,
        f"{socket.gethostname()}:{os.getppid()}:{os.getpid()}",
    )


def _warm() -> None:
    """Import the kinds' procedures before the first run asks for them; a broken kind does not stop the others."""
    import torch._dynamo  # noqa: F401 - the first optimizer of a process would import it, which takes seconds

    from engine.experiments.registry import kinds

    for kind in kinds().values():
        try:
            kind.load_run()
        except ImportError:
            log.exception("the procedure of kind %s cannot be imported", kind.name)


def work(child: Child) -> None:
    """Execute queued runs until none is left for this worker, or until asked to yield: a lost wake-up costs little."""
    while not child.drain.is_set():
        claimed = child.claim()
        if claimed is None:
            return
        claim, device = claimed
        try:
            ids = _ids(claim)
            with (
                log_context(**ids, worker_id=child.worker, owner=claim.experiment_owner),
                span(f"run {claim.kind}", claim.trace_parent, ids),
            ):
                execute_run(
                    child.db, child.blobs, child.settings, claim, device, child.drain.is_set
                )
        except DeviceBroken:
            log.exception("the device is unusable for this process, which ends and is replaced")
            logging.shutdown()
            flush()
            os._exit(1)


def _ids(claim: Claim) -> dict[str, Any]:
    return {"run_id": claim.run_id, "experiment_id": claim.experiment_id, "attempt": claim.attempts}


class WakeUpRequest(Request):  # type: ignore[misc]
    """A message that the broker has forgotten: there is nothing to acknowledge."""

    def acknowledge(self) -> None:
        self.acknowledged = True


def register(app: Any, child_of: Callable[[], Child]) -> None:
    """Bind the task to a Celery application; `child_of` gives this process's Child."""

    @app.task(name=WAKE_UP_TASK, Request=WakeUpRequest)  # type: ignore[untyped-decorator]
    def wake_up() -> None:
        work(child_of())
        flush()  # a child of the pool ends without its exit handlers
