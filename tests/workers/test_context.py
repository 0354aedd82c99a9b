"""The stored run context: fences, resume generations, yielding. A real database, no process."""

from __future__ import annotations

import time

import pytest

from engine.context import ResumeState
from engine.errors import (
    RunInterrupted,
)
from storage.files.retention import sweep_orphans
from storage.runs.claim import Claim
from storage.runs.lease_expiry import expire_worker
from tests.workers.run_contexts import (
    WORKER_NAME,
    claim_run,
    make_context,
    resume_files,
    save_resume,
    stored_files,
)
from tests.workers.worker_harness import WorkerHarness
from workers import context
from workers.context import LeaseLost


def test_the_newest_resume_state_is_loaded(harness: WorkerHarness, claim: Claim) -> None:
    ctx = make_context(harness, claim)
    assert ctx.load_resume() is None
    for step in (1, 2, 3):
        save_resume(ctx, step)
    found = make_context(harness, claim).load_resume()
    assert found == ResumeState(3, b"tensors 3", {"epoch": 3})


def test_exactly_two_resume_generations_are_kept(harness: WorkerHarness, claim: Claim) -> None:
    ctx = make_context(harness, claim)
    for step in range(1, 6):
        save_resume(ctx, step)
    assert stored_files(harness) == set(resume_files(harness, claim.run_id))
    assert len(stored_files(harness)) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "deleted"])
def test_the_previous_generation_is_loaded_if_the_newest_is_damaged(
    harness: WorkerHarness, claim: Claim, damage: str
) -> None:
    ctx = make_context(harness, claim)
    save_resume(ctx, 1)
    save_resume(ctx, 2)
    path = harness.blobs.path(resume_files(harness, claim.run_id)[-1])
    data = path.read_bytes()
    path.unlink()
    if damage != "deleted":
        path.write_bytes(data[:10] if damage == "truncated" else data[:-1] + b"?")
    found = make_context(harness, claim).load_resume()
    assert found is not None
    assert found.step == 1
    assert harness.events(claim.experiment_id)[-2:] == ["run.checkpoint_unreadable", "run.resumed"]


def test_the_resume_state_of_another_spec_is_rejected(harness: WorkerHarness, claim: Claim) -> None:
    save_resume(make_context(harness, claim), 1)
    other = Claim(
        **{**{name: getattr(claim, name) for name in Claim.__slots__}, "digest": "0" * 64}
    )
    assert make_context(harness, other).load_resume() is None
    assert harness.events(claim.experiment_id)[-1] == "run.checkpoint_unreadable"


def test_a_worker_that_lost_its_run_cannot_write(harness: WorkerHarness, claim: Claim) -> None:
    ctx = make_context(harness, claim)
    ctx.log_metrics(0, 1, {"test_accuracy": 0.5})
    ctx.flush()
    expire_worker(harness.db, WORKER_NAME, 3)
    again = claim_run(harness)
    assert again.fence > claim.fence
    events, metrics = harness.events(claim.experiment_id), harness.metrics(claim.run_id)
    ctx.log_metrics(0, 2, {"test_accuracy": 0.9})
    for write in (
        ctx.flush,
        lambda: save_resume(ctx, 1),
        lambda: ctx.log_event("training.resumed", {}),
        lambda: ctx.save_checkpoint("theta_0", 0, 0, b"weights"),
        lambda: ctx.save_artifact("counts", 0, "text/plain", b"1"),
        lambda: ctx.register_training("d", 0, {}),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert (harness.events(claim.experiment_id), harness.metrics(claim.run_id)) == (events, metrics)
    assert resume_files(harness, claim.run_id) == []
    assert harness.thetas(claim.run_id) == {}


def test_a_run_that_must_yield_stops_after_its_next_save(
    harness: WorkerHarness, claim: Claim
) -> None:
    ctx = make_context(harness, claim, should_yield=lambda: True)
    assert ctx.should_save()
    with pytest.raises(RunInterrupted):
        save_resume(ctx, 1)
    assert len(resume_files(harness, claim.run_id)) == 1


def test_a_run_that_does_not_save_yields_after_a_time_limit(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "YIELD_SECONDS", 0.01)
    ctx = make_context(harness, claim, should_yield=lambda: True)
    ctx.check()
    time.sleep(0.02)
    with pytest.raises(RunInterrupted):
        ctx.check()


def test_the_first_report_ends_the_set_up_and_is_no_progress(
    harness: WorkerHarness, claim: Claim
) -> None:
    """Saving without progress would let a run that kills its workers be retried for ever."""
    harness.settings = harness.settings.model_copy(update={"checkpoint_seconds": 0.0})
    ctx = make_context(harness, claim)
    assert not ctx.setup_seconds
    time.sleep(0.02)
    ctx.report_progress(0.0, 2.0, "seed-epochs")
    first = ctx.setup_seconds
    assert first is not None
    assert 0.02 <= first < 10
    assert not ctx.should_save()
    time.sleep(0.02)
    ctx.report_progress(0.1, 2.0, "seed-epochs")
    assert ctx.setup_seconds == first
    assert ctx.should_save()


def test_the_sweep_deletes_old_orphans_only(harness: WorkerHarness, claim: Claim) -> None:
    ctx = make_context(harness, claim)
    ctx.save_checkpoint("theta_0", 0, 0, b"known")
    harness.blobs.put(b"orphan")
    assert sweep_orphans(harness.db, harness.blobs) == 0
    assert sweep_orphans(harness.db, harness.blobs, older_than_seconds=-1) == 1
    assert stored_files(harness) == set(harness.thetas(claim.run_id).values())
