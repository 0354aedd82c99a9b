"""Executes one claimed run: calls the kind's procedure and stores how the run ended."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from engine.errors import (
    DatasetUnavailable,
    InvalidSpec,
    ModelRejected,
    OutOfMemory,
    RunCancelled,
    RunInterrupted,
    WeightsUnavailable,
)
from engine.experiments.registry import get_kind, parse_spec
from engine.hardware import describe_processor
from engine.result import SeedResult
from runtime.fault_points import reach
from runtime.log_once import log_once
from runtime.settings import Settings
from runtime.tracing import mark_span_failed
from runtime.version import SERVICE_VERSION
from schemas.status import FailureReason
from storage.database.engine import Database
from storage.errors import StorageFull, StorageUnavailable
from storage.experiments.finalize import finalize
from storage.files.blobs import FULL, BlobStore
from storage.files.resume_state import drop_resume_state
from storage.runs.claim import Claim
from storage.runs.transitions import cancel_run, fail_run, finish_run, release_run
from workers.context import (
    LeaseLost,
    RunTimedOut,
    StoredRunContext,
    engine_versions,
    write_while_held,
)
from workers.devices import describe_device
from workers.lease import Lease
from workers.looks import look
from workers.shared_heartbeats import SlotHeartbeats

NOT_HELD = "is no longer held by this worker"

log = logging.getLogger("richregime.worker")


class DeviceBroken(Exception):
    """This process can no longer use the device. The run has already been marked as failed."""


def execute_run(
    db: Database,
    blobs: BlobStore,
    settings: Settings,
    claim: Claim,
    device: str,
    should_yield: Callable[[], bool],
    heartbeats: SlotHeartbeats | None = None,
) -> None:
    """Execute a claimed run and store its results and its final status.

    After a lost lease nothing is written: another worker may have the run. Raises DeviceBroken if
    the process must be replaced; the run has been marked as failed by then.
    """
    log.info(
        "run %s started: %s, seeds %s, attempt %d",
        claim.run_id,
        claim.kind,
        list(claim.seeds),
        claim.attempts,
    )
    broken: Exception | None = None
    with Lease(db, settings, claim.run_id, claim.fence, claim.elapsed_seconds, heartbeats) as lease:
        ctx = StoredRunContext(
            db,
            blobs,
            settings,
            claim,
            lease,
            device,
            lambda: should_yield() or lease.is_handed_back,
        )
        ending = _Ending(db, blobs, claim, lease)
        try:
            _reset_peak_memory(device)
            results = get_kind(claim.kind).load_run()(parse_spec(claim.spec), ctx)
            ctx.flush()
            lease.beat(is_last=True)  # stores the final progress
            ending.finish(results, describe_run(claim, ctx))
        except LeaseLost:
            log.warning("run %s: the lease was lost; nothing more is written", claim.run_id)
            return
        except RunCancelled:
            ending.cancel()
        except RunInterrupted:
            ending.release()
            return
        except Exception as error:
            reason, detail = classify(error)
            log.error("run %s failed: %s", claim.run_id, reason.value, exc_info=error)
            mark_span_failed(reason.value)
            ending.fail(reason, detail, _describe_failed(claim, ctx))
            broken = error if is_device_broken(error) else None
            _free_memory(reason)
    _look_and_summarize(db, blobs, settings, claim.experiment_id)
    if broken is not None:
        raise DeviceBroken from broken


def _look_and_summarize(
    db: Database, blobs: BlobStore, settings: Settings, experiment_id: str
) -> None:
    """If this was the last run, look at the verdicts where more seeds may follow, and summarize.

    The parent and the reconciler retry what fails here.
    """
    with log_once(f"experiment {experiment_id}: its verdicts could not be looked at"):
        look(db, blobs, settings, experiment_id)
    with log_once(f"experiment {experiment_id}: its summary could not be made"):
        finalize(db, blobs, experiment_id)


class _Ending:
    """The transitions out of `running`. The final ones also delete the resume state."""

    def __init__(self, db: Database, blobs: BlobStore, claim: Claim, lease: Lease) -> None:
        self._db, self._blobs, self._lease = db, blobs, lease
        self._run_id, self._fence = claim.run_id, claim.fence

    def finish(self, results: Sequence[SeedResult], manifest: Mapping[str, Any]) -> None:
        seed_results = [result.model_dump(mode="json") for result in results]
        self._end(
            lambda session: finish_run(
                session,
                self._run_id,
                self._fence,
                seed_results,
                manifest,
                self._lease.elapsed_seconds,
            ),
            "succeeded",
        )

    def fail(self, reason: FailureReason, detail: str, manifest: Mapping[str, Any]) -> None:
        self._end(
            lambda session: fail_run(
                session,
                self._run_id,
                self._fence,
                reason,
                detail,
                manifest,
                self._lease.elapsed_seconds,
            ),
            "failed",
        )

    def cancel(self) -> None:
        self._end(
            lambda session: cancel_run(
                session, self._run_id, self._fence, self._lease.elapsed_seconds
            ),
            "cancelled",
        )

    def release(self) -> None:
        """Put the run back into the queue; the resume state stays."""
        moved = self._move(
            lambda session: release_run(
                session, self._run_id, self._fence, self._lease.elapsed_seconds
            )
        )
        log.info("run %s %s", self._run_id, "is queued again" if moved else NOT_HELD)

    def _end(self, move: Callable[[Any], bool], word: str) -> None:
        files: list[str] = []
        reach("finish.1")

        def end_and_drop(session: Any) -> bool:
            if not move(session):
                return False
            files[:] = drop_resume_state(session, self._run_id)
            reach("finish.2")
            return True

        moved = self._move(end_and_drop)
        reach("finish.3")
        for sha256 in files if moved else ():
            self._blobs.discard(sha256)
        reach("finish.4")
        log.info("run %s %s", self._run_id, word if moved else NOT_HELD)

    def _move(self, move: Callable[[Any], bool]) -> bool:
        try:
            return write_while_held(self._db, self._lease, move)
        except LeaseLost:
            return False


NO_DETERMINISTIC_KERNEL = "does not have a deterministic implementation"
"""In torch's error of an operation in deterministic mode"""


def is_device_broken(error: BaseException) -> bool:
    """Whether this process can no longer use the device: CUDA errors persist until it ends."""
    return "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError"


def _free_memory(reason: FailureReason) -> None:
    """Free what earlier runs left cached, so that the next run has the memory."""
    if reason is FailureReason.OUT_OF_MEMORY:
        import torch

        from engine.data.resident import default_cache

        default_cache().clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def classify(error: BaseException) -> tuple[FailureReason, str]:
    """The failure reason, and a message for the user without a traceback."""
    if isinstance(error, RunTimedOut):
        return FailureReason.TIMEOUT, str(error)
    if isinstance(error, DatasetUnavailable):
        return FailureReason.DATASET_UNAVAILABLE, str(error)
    if isinstance(error, WeightsUnavailable):
        return FailureReason.WEIGHTS_UNAVAILABLE, str(error)
    if isinstance(error, ModelRejected):
        return FailureReason.MODEL_REJECTED, str(error)
    if isinstance(error, InvalidSpec):
        return FailureReason.INVALID_SPEC, str(error)
    if (
        isinstance(error, OutOfMemory | MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    ):
        return (
            FailureReason.OUT_OF_MEMORY,
            "the device does not have the memory that this run needs",
        )
    if NO_DETERMINISTIC_KERNEL in str(error):
        operation = str(error).split(NO_DETERMINISTIC_KERNEL)[0].strip()
        return (
            FailureReason.MODEL_REJECTED,
            f"{operation} has no deterministic kernel on this device; submit the experiment with "
            "`execution.deterministic` false, or use another layer",
        )
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in FULL):
        return FailureReason.STORAGE_FULL, "the disk of the service is full"
    if isinstance(error, StorageUnavailable):
        return FailureReason.STORAGE_UNAVAILABLE, str(error)
    return (
        FailureReason.INTERNAL,
        f"an error inside the service ({type(error).__name__}); its log has the details",
    )


def describe_run(claim: Claim, ctx: StoredRunContext) -> dict[str, Any]:
    """The manifest: what was computed, by which versions, on what."""
    return {
        "spec": dict(claim.spec),
        "digest": claim.digest,
        "seeds": list(claim.seeds),
        "execution": ctx.execution.model_dump(mode="json"),
        "deterministic": ctx.execution.deterministic,
        "data_sha256": _data_digest(claim, ctx),
        "threads": ctx.execution.threads,
        "arithmetic": _describe_arithmetic(ctx.execution.device),
        "device": describe_device("gpu" if ctx.execution.device == "cuda" else "cpu").name,
        "processor": describe_processor(),
        "platform": platform.platform(),
        "attempts": claim.attempts,
        "peak_memory_bytes": _peak_memory_bytes(ctx.execution.device),
        "setup_seconds": ctx.setup_seconds,
        "versions": {
            **_library_versions(),
            **engine_versions(claim.kind),
        },
    }


def _describe_arithmetic(device: str) -> dict[str, str]:
    from engine.arithmetic import describe_arithmetic

    return dict(describe_arithmetic(device))


@cache
def _library_versions() -> dict[str, str]:
    """Cached: each lookup searches the installed packages."""
    found = {"python": platform.python_version(), "richregime": SERVICE_VERSION}
    for name in ("torch", "torchvision", "numpy"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _reset_peak_memory(device: str) -> None:
    """Reset the GPU's memory peak, so that it covers this run only."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()


def _peak_memory_bytes(device: str) -> int | None:
    """Peak memory of tensors on the GPU during the run, caches of earlier runs included."""
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def _describe_failed(claim: Claim, ctx: StoredRunContext) -> dict[str, Any]:
    """The manifest, or its minimum if the run failed before it could be described."""
    try:
        return describe_run(claim, ctx)
    except Exception as error:  # noqa: BLE001 - the run's error may recur here
        log.info("run %s: no manifest (%s)", claim.run_id, type(error).__name__)
        return {"spec": dict(claim.spec), "digest": claim.digest, "seeds": list(claim.seeds)}


def _data_digest(claim: Claim, ctx: StoredRunContext) -> str | None:
    """sha256 of the images and labels used; None if the run failed before it had them."""
    from engine.data.resident import resident_data

    try:
        return resident_data(parse_spec(claim.spec).data, ctx.execution.device, ctx).sha256
    except Exception as error:  # noqa: BLE001 - the run's own error is the one reported
        log.info("run %s: no data digest (%s)", claim.run_id, type(error).__name__)
        return None
