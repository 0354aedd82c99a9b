"""Removes each protection once and checks that the invariant which it keeps is then violated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import and_
from sqlmodel import col

from storage.database.tables import RunRow
from storage.errors import NotFound
from storage.experiments import cancel
from storage.files import artifacts, retention
from storage.files.blobs import BlobStore
from storage.files.retention import sweep_orphans
from storage.results import metrics
from storage.runs import reconcile, transitions
from storage.runs.claim import Claim
from storage.runs.lease_expiry import expire_worker
from tests.faults.fault_injection import KillAt, SetListener
from tests.faults.in_process_worker import SEEDS, SPEC, WORKER_NAME, InProcessWorker
from tests.faults.invariants import Reference, examine
from workers import context, execution
from workers.context import StoredRunContext
from workers.lease import Lease

Patch = pytest.MonkeyPatch
Scenario = Callable[[InProcessWorker, SetListener], None]


def list_violations(worker: InProcessWorker, reference: Reference | None = None) -> str:
    return " / ".join(examine(worker.db, worker.blobs, worker.accepted, reference or {}).all())


def context_of(worker: InProcessWorker, claim: Claim) -> StoredRunContext:
    lease = Lease(worker.db, worker.settings, claim.run_id, claim.fence)
    return StoredRunContext(
        worker.db, worker.blobs, worker.settings, claim, lease, "cpu", lambda: False
    )


def write_as_zombie(worker: InProcessWorker, set_listener: SetListener) -> None:
    """A worker that lost its run to another one writes an artifact."""
    worker.submit(SPEC, SEEDS)
    old = worker.require_claim()
    expire_worker(worker.db, WORKER_NAME, 3)
    worker.work_until_idle()
    try:
        context_of(worker, old).save_artifact("counts", 0, "text/plain", b"old")
    except context.LeaseLost:
        return


def finish_as_zombie(worker: InProcessWorker, set_listener: SetListener) -> None:
    """A worker that lost its run to another one ends the run."""
    _, run_id = worker.submit(SPEC, SEEDS)
    old = worker.require_claim()
    expire_worker(worker.db, WORKER_NAME, 3)
    new = worker.require_claim("host:1:9")
    with worker.db.write() as session:
        transitions.finish_run(session, run_id, old.fence, [{"outcome": "trained", "seed": 0}], {})
    if worker.run(run_id).status == "running":
        worker.execute(new)
    else:
        with worker.db.write() as session:
            transitions.fail_run(session, run_id, new.fence, "internal", "lost")  # type: ignore[arg-type]


def resume_from_damage(worker: InProcessWorker, set_listener: SetListener) -> None:
    """The newest resume state is damaged after its worker has died."""
    _, run_id = worker.submit(SPEC, SEEDS)
    set_listener(KillAt("save.3", 2))
    worker.work()
    set_listener(None)
    with worker.db.read() as session:
        newest = artifacts.list_artifacts(session, run_id, "resume")[-1]
    path = worker.blobs.path(newest.sha256)
    data = bytearray(path.read_bytes())
    for index in range(2 * len(data) // 3, len(data), 16):
        data[index] ^= 1
    path.write_bytes(data)
    worker.work_until_idle()


def die_during_a_file_write(worker: InProcessWorker, set_listener: SetListener) -> None:
    worker.submit(SPEC, SEEDS)
    set_listener(KillAt("put.1"))
    worker.work_until_idle()
    set_listener(None)


def sweep_while_registering(worker: InProcessWorker, set_listener: SetListener) -> None:
    worker.submit(SPEC, (100 + len(worker.accepted),))  # bytes that no other run has

    def sweep(name: str) -> None:
        if name == "register.1":
            sweep_orphans(worker.db, worker.blobs, older_than_seconds=-1)

    set_listener(sweep)
    worker.work_until_idle()
    set_listener(None)


def die_before_summary(worker: InProcessWorker, set_listener: SetListener) -> None:
    worker.submit(SPEC, SEEDS)
    set_listener(KillAt("finish.4"))
    worker.work_until_idle()
    set_listener(None)


def lose_worker_once(worker: InProcessWorker, set_listener: SetListener) -> None:
    worker.submit(SPEC, SEEDS)
    worker.require_claim()
    worker.work()
    worker.work_until_idle()


def read_unchecked(self: BlobStore, sha256: str) -> bytes:
    try:
        return self.path(sha256).read_bytes()
    except FileNotFoundError:
        raise NotFound(sha256) from None


def always_held(session: Any, run_id: str, fence: int) -> bool:
    return True


def held_by_any_worker(run_id: str, fence: int) -> Any:
    return and_(col(RunRow.id) == run_id)


def cancel_while_queued(worker: InProcessWorker, set_listener: SetListener) -> None:
    experiment_id, run_id = worker.submit(SPEC, SEEDS)
    worker.execute(worker.require_claim(), lambda: bool(worker.resume_states(run_id)))
    worker.cancel(experiment_id)
    worker.reconcile()


MUTATIONS: list[tuple[str, Callable[[Patch], None], Scenario, str]] = [
    (
        "files carry the fence",
        lambda patch: patch.setattr(artifacts, "holds_run", always_held),
        write_as_zombie,
        "was not valid then",
    ),
    (
        "transitions carry the fence",
        lambda patch: patch.setattr(transitions, "is_held", held_by_any_worker),
        finish_as_zombie,
        "ended",
    ),
    (
        "stored bytes are checked when read",
        lambda patch: patch.setattr(BlobStore, "read", read_unchecked),
        resume_from_damage,
        "other bits",
    ),
    (
        "a file swept while it is registered is stored again",
        lambda patch: patch.setattr(BlobStore, "exists", lambda self, sha256: True),
        sweep_while_registering,
        "is missing",
    ),
    (
        "resume state is deleted with its run",
        lambda patch: patch.setattr(execution, "drop_resume_state", lambda session, run_id: []),
        lose_worker_once,
        "resume state outlives",
    ),
    (
        "resume state is deleted with a run that is cancelled while queued",
        lambda patch: patch.setattr(cancel, "drop_resume_state", lambda session, run_id: []),
        cancel_while_queued,
        "resume state outlives",
    ),
    (
        "the reconciler makes the summaries that dead workers did not make",
        lambda patch: patch.setattr(reconcile, "finalize_all", lambda db, blobs: None),
        die_before_summary,
        "has no summary",
    ),
    (
        "runs of dead workers are queued again",
        lambda patch: patch.setattr(
            "tests.faults.in_process_worker.expire_worker", lambda *args: []
        ),
        lose_worker_once,
        "is running",
    ),
    (
        "the sweep deletes what interrupted writes have left",
        lambda patch: patch.setattr(retention, "find_orphans", lambda db, blobs, seconds: {}),
        die_during_a_file_write,
        "an orphan",
    ),
]


@pytest.mark.parametrize(
    ("remove_protection", "scenario", "violation"),
    [one[1:] for one in MUTATIONS],
    ids=[one[0] for one in MUTATIONS],
)
def test_an_invariant_holds_with_its_protection_and_not_without(
    worker: InProcessWorker,
    set_listener: SetListener,
    remove_protection: Callable[[Patch], None],
    scenario: Scenario,
    violation: str,
) -> None:
    reference = worker.reference(SPEC, SEEDS)
    scenario(worker, set_listener)
    assert list_violations(worker, reference) == ""
    with pytest.MonkeyPatch.context() as patch:
        remove_protection(patch)
        scenario(worker, set_listener)
        assert violation in list_violations(worker, reference)


def test_only_the_fence_rejects_metrics_of_a_lost_run(
    worker: InProcessWorker, monkeypatch: Patch
) -> None:
    _, run_id = worker.submit(SPEC, SEEDS)
    old = worker.require_claim()
    expire_worker(worker.db, WORKER_NAME, 3)
    for holds, stored in ((None, 0), (always_held, 1)):
        if holds is not None:
            monkeypatch.setattr(metrics, "holds_run", holds)
        with worker.db.write() as session:
            metrics.write_metrics(session, run_id, old.fence, [(0, "loss", 1, 1.0)])
        assert len(worker.metrics(run_id)) == stored
