"""The Celery task of a wake-up: claim and execute queued runs until none is left."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from billiard.process import current_process
from celery.worker.request import Request

from engine.durations import format_seconds
from engine.process_memory import keep_freed_memory, return_freed_memory
from runtime.logs import log_context
from runtime.settings import Settings
from runtime.tracing import flush, span, start_tracing
from storage.database.engine import Database
from storage.delivery.wake_ups import WAKE_UP_TASK
from storage.files.blobs import BlobStore, open_blobs
from storage.runs.claim import Claim, claim_next
from storage.runs.placement import Capacity
from workers.child_slots import ChildSlots, delay_after, wait_unless
from workers.devices import check_gpu
from workers.execution import DeviceBroken, execute_run
from workers.process_control import DrainRequest
from workers.shared_heartbeats import SharedHeartbeats, SlotHeartbeats

log = logging.getLogger("richregime.worker")


@dataclass(slots=True)
class Child:
    """The state of a child process: its connections, its capacity, the drain request."""

    settings: Settings
    db: Database
    blobs: BlobStore
    capacity: Capacity
    drain: DrainRequest
    worker: str
    """`host:parent:child` (process ids), so that a parent finds the runs of its dead children"""
    heartbeats: SlotHeartbeats | None = None

    def claim(self) -> tuple[Claim, str] | None:
        """The first run that fits and the device for it. A GPU worker also takes runs for a CPU."""
        capacity = self.capacity
        choices = [("cpu", "cpu", capacity.host_memory_bytes)]
        if capacity.device_class == "gpu":
            choices.insert(0, ("gpu", "cuda", capacity.memory_bytes))
        for device_class, device, memory_bytes in choices:
            claim = claim_next(
                self.db,
                worker=self.worker,
                device_class=device_class,
                device=device,
                lease_seconds=self.settings.lease_seconds,
                memory_bytes=memory_bytes,
                labels=self.settings.worker_labels,
                limit_per_owner=self.settings.limit_running_per_owner,
            )
            if claim is not None:
                return claim, device
        return None


_this_child: Child | None = None
"""Of this process; None in the parent, and where it was not prepared"""


def start_child(
    settings: Settings,
    capacity: Capacity,
    drain: DrainRequest,
    slots: ChildSlots,
    heartbeats: SharedHeartbeats,
) -> None:
    """Prepare this new child of the pool and report it as ready; not after a drain request.

    A start that fails is logged and ends the process. The pool replaces it, and the next start
    waits: twice as long after each failure in a row, up to `MAX_DELAY_SECONDS`.
    """
    slot = int(current_process().index)
    failed = slots.note_start(slot)
    if failed:
        delay = delay_after(failed)
        log.warning(
            "slot %d: %d starts in a row have failed; next start in %s",
            slot,
            failed,
            format_seconds(delay),
        )
        wait_unless(drain.is_set, delay)
    if drain.is_set():
        return
    try:
        child = _prepare_child(settings, capacity, drain, SlotHeartbeats(heartbeats, slot))
    except Exception as error:
        text = f"slot {slot}: the start of a child failed: {type(error).__name__}: {error}"
        log.error(text, exc_info=error if not failed else None)
        logging.shutdown()
        os._exit(1)
    global _this_child
    _this_child = child
    slots.note_ready(slot)


def _prepare_child(
    settings: Settings, capacity: Capacity, drain: DrainRequest, heartbeats: SlotHeartbeats
) -> Child:
    """Only children import torch, once; it stays loaded between runs."""
    os.nice(settings.worker_niceness)
    import torch

    from engine.determinism import prepare_process
    from engine.models.local_host import use_local_host

    torch.set_num_threads(1)  # each run sets its own
    prepare_process()
    keep_freed_memory()
    if capacity.device_class == "gpu":
        check_gpu()  # else every run would fail on it
    _preload_kinds()
    use_local_host(settings.resolved_plugins_dir)
    start_tracing("worker")
    return Child(
        settings,
        Database(settings.resolved_database_url),
        open_blobs(settings),
        capacity,
        drain,
        f"{socket.gethostname()}:{os.getppid()}:{os.getpid()}",
        heartbeats,
    )


def _preload_kinds() -> None:
    """Import the kinds' procedures before the first run. A broken kind does not stop the others."""
    # The first optimizer of a process would import it, which takes seconds.
    import torch._dynamo  # noqa: F401

    from engine.experiments.registry import kinds

    for kind in kinds().values():
        try:
            kind.load_run()
        except ImportError:
            log.exception("the procedure of kind %s cannot be imported", kind.name)


def work(child: Child) -> None:
    """Execute queued runs until none fits or a drain is requested, so that few wake-ups suffice."""
    executed = False
    while not child.drain.is_set():
        claimed = child.claim()
        if claimed is None:
            if executed:
                return_freed_memory()
            return
        claim, device = claimed
        try:
            fields = _log_fields(claim)
            with (
                log_context(**fields, worker_id=child.worker, owner=claim.experiment_owner),
                span(f"run {claim.kind}", claim.trace_parent, fields),
            ):
                execute_run(
                    child.db,
                    child.blobs,
                    child.settings,
                    claim,
                    device,
                    child.drain.is_set,
                    child.heartbeats,
                )
            executed = True
        except DeviceBroken:
            log.exception("this process can no longer use the device; it exits and is replaced")
            logging.shutdown()
            flush()
            os._exit(1)


def _log_fields(claim: Claim) -> dict[str, Any]:
    return {"run_id": claim.run_id, "experiment_id": claim.experiment_id, "attempt": claim.attempts}


class WakeUpRequest(Request):  # type: ignore[misc]
    """A message that the broker deletes on delivery: there is nothing to acknowledge."""

    def acknowledge(self) -> None:
        self.acknowledged = True


def look_for_runs() -> None:
    """Execute queued runs in this process, a child of the pool; nothing after a drain request."""
    if _this_child is not None:
        work(_this_child)
    flush()  # children of the pool end without exit handlers


def register_task(app: Any) -> None:
    """Add the task of a wake-up to a Celery application."""
    app.task(look_for_runs, name=WAKE_UP_TASK, Request=WakeUpRequest)
