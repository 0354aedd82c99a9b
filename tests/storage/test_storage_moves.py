"""Every move of a run, and that none is made with a fence that is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from schemas.status import ExperimentStatus, FailureReason, RunStatus
from storage.database.engine import Database
from storage.errors import InvalidTransition
from storage.experiments.lifecycle import cancel_experiment
from storage.experiments.retry_extend import retry_experiment
from storage.files.artifacts import list_artifacts, register_artifact, register_training
from storage.files.blobs import StoredBlob
from storage.results.events import list_events
from storage.results.metrics import read_metrics, write_metrics
from storage.runs.lease_expiry import reap_expired, reap_owner
from storage.runs.placement import Needs
from storage.runs.transitions import heartbeat, release_run
from tests.storage.conftest import Archive

pytestmark = pytest.mark.xdist_group("storage")

Move = Callable[[Archive, str, int], bool]

MOVES: dict[str, tuple[Move, RunStatus]] = {
    "finish": (Archive.finish, RunStatus.SUCCEEDED),
    "fail": (Archive.fail, RunStatus.FAILED),
    "cancel": (Archive.cancel, RunStatus.CANCELLED),
    "release": (Archive.release, RunStatus.QUEUED),
}


def beat(archive: Archive, run_id: str, fence: int) -> bool:
    return heartbeat(archive.db, run_id, fence, 60, (1.0, 2.0, "epochs")).alive


def metrics(archive: Archive, run_id: str, fence: int) -> bool:
    with archive.db.write() as session:
        return write_metrics(session, run_id, fence, [(0, "train_loss", 1, 0.5)])


def training(archive: Archive, run_id: str, fence: int) -> bool:
    with archive.db.write() as session:
        return register_training(
            session,
            digest="d" * 64,
            form_digest="f" * 64,
            seed=0,
            run_id=run_id,
            fence=fence,
            result={},
        )


def artifact(archive: Archive, run_id: str, fence: int) -> bool:
    with archive.db.write() as session:
        made = register_artifact(
            session,
            run_id=run_id,
            fence=fence,
            role="artifact",
            name="map.npz",
            seed=0,
            epoch=None,
            media_type="application/octet-stream",
            blob=StoredBlob("0" * 64, 1),
        )
    return made is not None


WRITES: dict[str, Move] = {
    "heartbeat": beat,
    "metrics": metrics,
    "artifact": artifact,
    "training": training,
}


def event_names(archive: Archive, experiment_id: str) -> list[str]:
    with archive.db.read() as session:
        return [event.name for event in list_events(session, experiment_id, 0, 1_000)]


@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_made_once_and_told_once(archive: Archive, name: str) -> None:
    move, status = MOVES[name]
    experiment_id, (run_id,) = archive.submit()
    fence = archive.claim().fence
    assert archive.run(run_id).status is RunStatus.RUNNING
    assert move(archive, run_id, fence)
    told = event_names(archive, experiment_id)
    row = archive.run(run_id)
    assert (row.status, row.finished_at is not None) == (status, status.is_terminal)
    assert archive.experiment(experiment_id).status == status.value
    assert not move(archive, run_id, fence)
    assert event_names(archive, experiment_id) == told
    assert told.count("experiment.finished") == status.is_terminal


@pytest.mark.parametrize("name", [*MOVES, *WRITES])
def test_nothing_is_written_with_a_fence_that_is_over(archive: Archive, name: str) -> None:
    """The run was taken back and claimed by another: the first worker wakes and finds that it has lost."""
    move = MOVES[name][0] if name in MOVES else WRITES[name]
    experiment_id, (run_id,) = archive.submit()
    stale = archive.claim().fence
    archive.end_lease(run_id)
    assert reap_expired(archive.db, max_attempts=4) == [run_id]
    fresh = archive.claim(owner="host:3:4").fence
    before, told = archive.run(run_id), event_names(archive, experiment_id)
    assert fresh == stale + 2
    assert not move(archive, run_id, stale)
    assert archive.run(run_id).model_dump() == before.model_dump()
    assert event_names(archive, experiment_id) == told
    with archive.db.read() as session:
        assert read_metrics(session, run_id=run_id) == []
        assert list_artifacts(session, run_id, "artifact") == []
    assert move(archive, run_id, fresh)


@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_written_to_a_run_that_has_ended(archive: Archive, name: str) -> None:
    run_id = archive.submit()[1][0]
    fence = archive.claim().fence
    assert archive.finish(run_id, fence)
    assert not WRITES[name](archive, run_id, fence)


def test_a_heartbeat_renews_the_lease_and_brings_the_cancel_request(archive: Archive) -> None:
    experiment_id, (run_id,) = archive.submit()
    fence = archive.claim(lease_seconds=0.0).fence
    assert heartbeat(archive.db, run_id, fence, 60, (3.0, 10.0, "epochs")).cancel_requested is False
    assert reap_expired(archive.db, max_attempts=4) == []
    row = archive.run(run_id)
    assert (row.progress_completed, row.progress_total, row.progress_unit) == (3.0, 10.0, "epochs")
    with archive.db.write() as session:
        cancel_experiment(session, experiment_id)
    assert archive.run(run_id).status is RunStatus.RUNNING
    assert heartbeat(archive.db, run_id, fence, 60).cancel_requested is True


def test_a_drained_run_keeps_its_attempts(archive: Archive) -> None:
    run_id = archive.submit()[1][0]
    for interruptions in (1, 2):
        assert archive.release(run_id, archive.claim().fence)
        row = archive.run(run_id)
        assert (row.attempts, row.interruptions, row.losses, row.owner) == (
            0,
            interruptions,
            0,
            None,
        )


def test_a_run_that_loses_its_worker_too_often_fails_once(archive: Archive) -> None:
    experiment_id, (run_id,) = archive.submit()
    for losses in range(1, 4):
        archive.claim(owner="host:1:2")
        assert reap_owner(archive.db, "host:9:9", max_attempts=3) == []
        assert reap_owner(archive.db, "host:1:2", max_attempts=3) == [run_id]
        assert archive.run(run_id).losses == losses
    row = archive.run(run_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, FailureReason.WORKER_LOST)
    assert archive.experiment(experiment_id).status is ExperimentStatus.FAILED
    assert reap_expired(archive.db, max_attempts=3) == []
    assert event_names(archive, experiment_id).count("run.failed") == 1


def test_a_lost_run_whose_cancel_was_asked_for_is_cancelled(archive: Archive) -> None:
    experiment_id, (run_id,) = archive.submit()
    archive.claim()
    with archive.db.write() as session:
        cancel_experiment(session, experiment_id)
    archive.end_lease(run_id)
    assert reap_expired(archive.db, max_attempts=4) == [run_id]
    assert archive.run(run_id).status is RunStatus.CANCELLED


def wait_for_a_lock(db: Database) -> None:
    """Until another transaction waits for this one; on SQLite it cannot even begin."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 60
    while not db.is_sqlite:
        with db.read() as session:
            if session.execute(waiting).scalar_one():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("move", ["release", "reap"])
def test_a_cancel_request_that_comes_as_the_run_goes_back_wins(archive: Archive, move: str) -> None:
    """A run that is queued and asked to stop would be claimed by nobody and would wait for ever."""
    experiment_id, (run_id,) = archive.submit()
    fence = archive.claim().fence

    def go_back() -> bool:
        if move == "reap":
            return reap_owner(archive.db, "host:1:2", max_attempts=4) == [run_id]
        with archive.db.write() as session:
            return release_run(session, run_id, fence)

    with ThreadPoolExecutor(1) as pool:
        with archive.db.write() as session:
            cancel_experiment(session, experiment_id)
            moved = pool.submit(go_back)
            wait_for_a_lock(archive.db)
        assert moved.result(timeout=60)
    assert archive.run(run_id).status is RunStatus.CANCELLED
    assert archive.experiment(experiment_id).status is ExperimentStatus.CANCELLED


def test_cancelling_ends_what_waits_and_asks_what_runs(archive: Archive) -> None:
    experiment_id, (running, waiting) = archive.submit(((0,), (1,)))
    fence = archive.claim().fence
    for _ in range(2):
        with archive.db.write() as session:
            cancel_experiment(session, experiment_id)
        assert archive.run(waiting).status is RunStatus.CANCELLED
        assert archive.experiment(experiment_id).status is ExperimentStatus.RUNNING
    assert archive.cancel(running, fence)
    assert archive.experiment(experiment_id).status is ExperimentStatus.CANCELLED
    assert event_names(archive, experiment_id).count("experiment.cancel_requested") == 1


def test_what_has_ended_is_not_cancelled(archive: Archive) -> None:
    experiment_id, (run_id,) = archive.submit()
    archive.finish(run_id, archive.claim().fence)
    with pytest.raises(InvalidTransition, match="already succeeded"), archive.db.write() as session:
        cancel_experiment(session, experiment_id)


def test_a_retry_gives_failed_runs_a_new_fence(archive: Archive) -> None:
    experiment_id, (failed, done) = archive.submit(((0,), (1,)))
    fence = archive.claim().fence
    archive.fail(failed, fence)
    archive.finish(done, archive.claim().fence)
    with archive.db.write() as session:
        _, rung = retry_experiment(session, experiment_id)
    assert rung == [(failed, Needs())]
    row = archive.run(failed)
    assert (row.status, row.fence, row.error_code) == (RunStatus.QUEUED, fence + 1, None)
    assert archive.finish(failed, archive.claim().fence)
    assert archive.experiment(experiment_id).status is ExperimentStatus.SUCCEEDED
