"""One run from claim to its end: the room's procedure, and what every way of ending means."""

from __future__ import annotations

import errno
import logging
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from engine.errors import (
    DatasetUnavailable,
    InvalidSpec,
    OutOfMemory,
    RunCancelled,
    RunInterrupted,
    WeightsUnavailable,
)
from engine.experiments.registry import get_kind, parse_spec
from engine.result import SeedResult
from schemas.status import FailureReason
from storage.artifacts import drop_resume_state
from storage.blobs import BlobStore
from storage.db import Database
from storage.errors import StorageFull
from storage.experiments import store_summary
from storage.results import StoredPlotInput, summarize_experiment
from storage.runs import Claim, cancel_run, fail_run, finish_run, release_run
from storage.settings import Settings
from workers.context import LeaseLost, RunTimedOut, StoredRunContext
from workers.lease import Lease

log = logging.getLogger("richregime.worker")


def execute_run(
    db: Database,
    blobs: BlobStore,
    settings: Settings,
    claim: Claim,
    device: str,
    should_yield: Callable[[], bool],
) -> None:
    """Execute a claimed run and archive its end. A lost lease ends it silently: someone else has it."""
    log.info(
        "run %s begins: %s, seeds %s, attempt %d", claim.run_id, claim.kind, list(claim.seeds), claim.attempts
    )
    with Lease(db, settings, claim.run_id, claim.fence) as lease:
        ctx = StoredRunContext(db, blobs, settings, claim, lease, device, should_yield)
        try:
            results = get_kind(claim.kind).load_run()(parse_spec(claim.spec), ctx)
            ctx.flush()
        except LeaseLost:
            log.warning("run %s: the lease was lost; nothing more is written", claim.run_id)
            return
        except RunCancelled:
            _end(db, claim, lambda session: cancel_run(session, claim.run_id, claim.fence), "cancelled")
        except RunInterrupted:
            _release(db, claim)
            return
        except Exception as error:
            reason, detail = classify(error)
            log.error("run %s failed: %s", claim.run_id, reason.value, exc_info=error)
            manifest = describe_run(claim, ctx)
            _end(
                db,
                claim,
                lambda session: fail_run(session, claim.run_id, claim.fence, reason, detail, manifest),
                f"failed: {reason.value}",
            )
        else:
            _finish(db, claim, ctx, results)
    finalize(db, blobs, claim.experiment_id)


def _finish(db: Database, claim: Claim, ctx: StoredRunContext, results: Sequence[SeedResult]) -> None:
    sheets = [result.model_dump(mode="json") for result in results]
    manifest = describe_run(claim, ctx)
    _end(
        db,
        claim,
        lambda session: finish_run(session, claim.run_id, claim.fence, sheets, manifest),
        "succeeded",
    )


def _end(db: Database, claim: Claim, move: Callable[[Any], bool], word: str) -> None:
    with db.write() as session:
        moved = move(session)
        if moved:
            drop_resume_state(session, claim.run_id)
    log.info("run %s %s", claim.run_id, word if moved else "was no longer ours")


def _release(db: Database, claim: Claim) -> None:
    with db.write() as session:
        moved = release_run(session, claim.run_id, claim.fence)
    log.info("run %s %s", claim.run_id, "is queued again" if moved else "was no longer ours")


def finalize(db: Database, blobs: BlobStore, experiment_id: str) -> None:
    """Make the summary where the last run has ended; whoever comes second changes nothing."""
    source = StoredPlotInput(db, blobs, experiment_id)
    if source.is_complete:
        summary = summarize_experiment(source)
        with db.write() as session:
            store_summary(session, experiment_id, summary)


def classify(error: BaseException) -> tuple[FailureReason, str]:
    """The reason from the closed set, and words for the user; never a traceback."""
    if isinstance(error, RunTimedOut):
        return FailureReason.TIMEOUT, str(error)
    if isinstance(error, DatasetUnavailable | WeightsUnavailable):
        return FailureReason.DATASET_UNAVAILABLE, str(error)
    if isinstance(error, InvalidSpec):
        return FailureReason.INVALID_SPEC, str(error)
    if (
        isinstance(error, OutOfMemory | MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    ):
        return FailureReason.OUT_OF_MEMORY, "the device has not the memory that this run needs"
    if isinstance(error, StorageFull) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        return FailureReason.STORAGE_FULL, "the disk of the service is full"
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
        "threads": ctx.num_threads,
        "device": ctx.execution.device,
        "processor": platform.processor() or platform.machine(),
        "platform": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("richregime", "torch", "numpy")},
        },
    }
