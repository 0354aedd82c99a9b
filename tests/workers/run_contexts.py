"""Claims and run contexts in the test's own process."""

from __future__ import annotations

from collections.abc import Callable

from engine.context import ResumeState
from storage.files.artifacts import list_artifacts
from storage.runs.claim import Claim, claim_next
from tests.workers.worker_harness import WorkerHarness
from workers.context import StoredRunContext
from workers.lease import Lease

WORKER_NAME = "host:1:2"


def claim_run(harness: WorkerHarness) -> Claim:
    """Claim the next run as the worker WORKER_NAME."""
    claim = claim_next(
        harness.db, worker=WORKER_NAME, device_class="cpu", device="cpu", lease_seconds=30
    )
    assert claim is not None
    return claim


def make_context(
    harness: WorkerHarness,
    claim: Claim,
    *,
    lease: Lease | None = None,
    should_yield: Callable[[], bool] = lambda: False,
) -> StoredRunContext:
    lease = lease or Lease(harness.db, harness.settings, claim.run_id, claim.fence)
    return StoredRunContext(
        harness.db, harness.blobs, harness.settings, claim, lease, "cpu", should_yield
    )


def save_resume(ctx: StoredRunContext, step: int) -> None:
    ctx.save_resume(ResumeState(step, f"tensors {step}".encode(), {"epoch": step}))


def resume_files(harness: WorkerHarness, run_id: str) -> list[str]:
    """sha256 of the resume states, oldest first."""
    with harness.db.read() as session:
        rows = list_artifacts(session, run_id, "resume")
    return [row.sha256 for row in sorted(rows, key=lambda row: row.id)]


def stored_files(harness: WorkerHarness) -> set[str]:
    """sha256 of every file in the store."""
    return {path.name for path in (harness.blobs.path("0" * 64).parents[1]).glob("??/*")}
