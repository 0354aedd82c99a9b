"""The outside of a run over the archive: fences, resume generations, endings. No process, a real database."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.context import ResumeState
from engine.errors import (
    DatasetUnavailable,
    InvalidSpec,
    OutOfMemory,
    RunCancelled,
    RunInterrupted,
    WeightsUnavailable,
)
from runtime.settings import Settings
from storage.database.engine import Database
from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.files.blobs import BlobStore
from storage.files.retention import sweep_orphans
from storage.runs.claim import Claim, claim_next
from storage.runs.lease_expiry import expire_worker
from storage.runs.running import RunningRun, list_running
from tests.workers.conftest import Lab
from workers import context, execution, watchdog
from workers.context import LeaseLost, RunTimedOut, StoredRunContext
from workers.lease import Lease

SPEC = {"kind": "train", "epochs": 2, "model": {"name": "relu_net", "width": 5}}
OWNER = "host:1:2"


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str, blobs: BlobStore) -> Iterator[Lab]:
    settings = Settings(
        home=tmp_path, database_url=sqlite_url, broker_url=None, checkpoint_seconds=0.0
    )
    made = Lab(settings, Database(sqlite_url), blobs)
    yield made
    made.close()


@pytest.fixture
def claim(lab: Lab) -> Claim:
    lab.submit(SPEC, wake=False)
    return claim_run(lab)


def claim_run(lab: Lab) -> Claim:
    claim = claim_next(lab.db, worker=OWNER, device_class="cpu", device="cpu", lease_seconds=30)
    assert claim is not None
    return claim


def make_context(
    lab: Lab,
    claim: Claim,
    *,
    lease: Lease | None = None,
    should_yield: Callable[[], bool] = lambda: False,
) -> StoredRunContext:
    lease = lease or Lease(lab.db, lab.settings, claim.run_id, claim.fence)
    return StoredRunContext(lab.db, lab.blobs, lab.settings, claim, lease, "cpu", should_yield)


def save(ctx: StoredRunContext, step: int) -> None:
    ctx.save_resume(ResumeState(step, f"tensors {step}".encode(), {"epoch": step}))


def resume_files(lab: Lab, run_id: str) -> list[str]:
    with lab.db.read() as session:
        rows = list_artifacts(session, run_id, "resume")
    return [row.sha256 for row in sorted(rows, key=lambda row: row.id)]


def stored_files(lab: Lab) -> set[str]:
    return {path.name for path in (lab.blobs.path("0" * 64).parents[1]).glob("??/*")}


def test_the_newest_resume_state_comes_back(lab: Lab, claim: Claim) -> None:
    ctx = make_context(lab, claim)
    assert ctx.load_resume() is None
    for step in (1, 2, 3):
        save(ctx, step)
    found = make_context(lab, claim).load_resume()
    assert found == ResumeState(3, b"tensors 3", {"epoch": 3})


def test_two_generations_stay_on_disk_and_no_more(lab: Lab, claim: Claim) -> None:
    ctx = make_context(lab, claim)
    for step in range(1, 6):
        save(ctx, step)
    assert stored_files(lab) == set(resume_files(lab, claim.run_id))
    assert len(stored_files(lab)) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_generation_gives_way_to_the_one_before(
    lab: Lab, claim: Claim, damage: str
) -> None:
    ctx = make_context(lab, claim)
    save(ctx, 1)
    save(ctx, 2)
    path = lab.blobs.path(resume_files(lab, claim.run_id)[-1])
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:10] if damage == "truncated" else data[:-1] + b"?")
    found = make_context(lab, claim).load_resume()
    assert found is not None
    assert found.step == 1
    assert lab.events(claim.experiment_id)[-2:] == ["run.checkpoint_unreadable", "run.resumed"]


def test_resume_state_of_another_spec_is_not_taken(lab: Lab, claim: Claim) -> None:
    save(make_context(lab, claim), 1)
    other = Claim(
        **{**{name: getattr(claim, name) for name in Claim.__slots__}, "digest": "0" * 64}
    )
    assert make_context(lab, other).load_resume() is None
    assert lab.events(claim.experiment_id)[-1] == "run.checkpoint_unreadable"


def test_whoever_lost_the_run_writes_nothing(lab: Lab, claim: Claim) -> None:
    ctx = make_context(lab, claim)
    ctx.log_metrics(0, 1, {"test_accuracy": 0.5})
    ctx.flush()
    expire_worker(lab.db, OWNER, 3)
    again = claim_run(lab)
    assert again.fence > claim.fence
    events, metrics = lab.events(claim.experiment_id), lab.metrics(claim.run_id)
    ctx.log_metrics(0, 2, {"test_accuracy": 0.9})
    for write in (
        ctx.flush,
        lambda: save(ctx, 1),
        lambda: ctx.log_event("training.resumed", {}),
        lambda: ctx.save_checkpoint("theta_0", 0, 0, b"weights"),
        lambda: ctx.save_artifact("counts", 0, "text/plain", b"1"),
        lambda: ctx.register_training("d", 0, {}),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert (lab.events(claim.experiment_id), lab.metrics(claim.run_id)) == (events, metrics)
    assert resume_files(lab, claim.run_id) == []
    assert lab.thetas(claim.run_id) == {}


def test_the_heartbeat_tells_of_a_lost_run_and_of_a_cancel_request(lab: Lab, claim: Claim) -> None:
    lease = Lease(lab.db, lab.settings, claim.run_id, claim.fence)
    ctx = make_context(lab, claim, lease=lease)
    assert lease.beat()
    ctx.check()
    with lab.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    assert lease.beat()
    with pytest.raises(RunCancelled):
        ctx.check()
    expire_worker(lab.db, OWNER, 3)
    assert not lease.beat()
    with pytest.raises(LeaseLost):
        ctx.check()


def test_a_worker_without_an_answer_fences_itself_before_the_lease_is_over(
    lab: Lab, claim: Claim
) -> None:
    settings = lab.settings.model_copy(update={"lease_seconds": 0.3})
    lease = Lease(lab.db, settings, claim.run_id, claim.fence)
    assert not lease.is_lost
    time.sleep(0.25)
    assert lease.is_lost


def test_a_save_ends_the_run_that_is_asked_to_yield(lab: Lab, claim: Claim) -> None:
    ctx = make_context(lab, claim, should_yield=lambda: True)
    assert ctx.should_save()
    with pytest.raises(RunInterrupted):
        save(ctx, 1)
    assert len(resume_files(lab, claim.run_id)) == 1


def test_a_run_that_never_saves_yields_all_the_same(
    lab: Lab, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "YIELD_SECONDS", 0.01)
    ctx = make_context(lab, claim, should_yield=lambda: True)
    ctx.check()
    time.sleep(0.02)
    with pytest.raises(RunInterrupted):
        ctx.check()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DatasetUnavailable("no such data set"), "dataset_unavailable"),
        (WeightsUnavailable("no weights"), "dataset_unavailable"),
        (InvalidSpec.single("#/spec", "wrong", "wrong"), "invalid_spec"),
        (OutOfMemory("full"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (RunTimedOut("too long"), "timeout"),
        (KeyError("secret"), "internal"),
    ],
)
def test_every_failure_has_a_reason_of_the_closed_set(error: Exception, reason: str) -> None:
    found, detail = execution.classify(error)
    assert found == reason
    assert "secret" not in detail


def test_a_room_that_breaks_fails_the_run_and_shows_no_traceback(
    lab: Lab, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(spec: Any, ctx: Any) -> Any:
        ctx.save_resume(ResumeState(1, b"tensors", {}))
        raise ZeroDivisionError("/srv/somebody/secret")

    monkeypatch.setattr("engine.kind.Kind.load_run", lambda self: breaks)
    execution.execute_run(lab.db, lab.blobs, lab.settings, claim, "cpu", lambda: False)
    row = lab.run(claim.run_id)
    assert (row.status, row.error_code) == ("failed", "internal")
    assert "secret" not in row.error_detail
    assert stored_files(lab) == set()
    assert lab.experiment(claim.experiment_id).summary is not None


def test_a_broken_gpu_ends_the_process_but_first_the_run(
    lab: Lab, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(spec: Any, ctx: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("engine.kind.Kind.load_run", lambda self: breaks)
    with pytest.raises(execution.DeviceBroken):
        execution.execute_run(lab.db, lab.blobs, lab.settings, claim, "cpu", lambda: False)
    assert lab.run(claim.run_id).status == "failed"


def running(**changes: Any) -> RunningRun:
    usual: dict[str, Any] = {
        "run_id": "run_1",
        "fence": 1,
        "worker": OWNER,
        "max_seconds": None,
        "computed_seconds": 10.0,
        "silent_seconds": 1.0,
        "step_seconds": 0.0,
        "seconds_since_cancel": None,
    }
    return RunningRun(**{**usual, **changes})


@pytest.mark.parametrize(
    ("run", "must_end"),
    [
        (running(), False),
        (running(seconds_since_cancel=5.0), False),
        (running(seconds_since_cancel=60.0), True),
        (running(max_seconds=60, computed_seconds=70.0), False),
        (running(max_seconds=60, computed_seconds=100.0), True),
        (running(silent_seconds=500.0), False),
        (running(silent_seconds=700.0), True),
        (running(silent_seconds=700.0, step_seconds=60.0), False),
        (running(silent_seconds=1300.0, step_seconds=60.0), True),
    ],
)
def test_a_child_is_ended_by_force_only_where_it_has_had_time_to_hear(
    run: RunningRun, must_end: bool
) -> None:
    assert (watchdog.forced_ending(run) is not None) == must_end


def test_a_deaf_child_is_killed_and_its_run_cancelled(
    lab: Lab, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(watchdog.os, "kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(watchdog, "UNRESPONSIVE_SECONDS", -1.0)
    watchdog.kill_unresponsive_children(lab.db, "host:1:")
    assert killed == []
    with lab.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    watchdog.kill_unresponsive_children(lab.db, "other:")
    assert killed == []
    watchdog.kill_unresponsive_children(lab.db, "host:1:")
    assert killed == [2]
    assert lab.run(claim.run_id).status == "cancelled"
    assert list_running(lab.db, "host:1:") == []


def test_the_sweep_takes_orphans_and_spares_the_young_and_the_known(lab: Lab, claim: Claim) -> None:
    ctx = make_context(lab, claim)
    ctx.save_checkpoint("theta_0", 0, 0, b"known")
    lab.blobs.put(b"orphan")
    assert sweep_orphans(lab.db, lab.blobs) == 0
    assert sweep_orphans(lab.db, lab.blobs, older_than_seconds=-1) == 1
    assert stored_files(lab) == set(lab.thetas(claim.run_id).values())
