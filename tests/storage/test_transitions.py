"""Every transition of a run; none is made with an outdated fence."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from schemas.status import ExperimentStatus, FailureReason, RunStatus
from storage.database.engine import Database
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.experiments.retry_extend import retry_experiment
from storage.files.artifacts import list_artifacts, register_artifact
from storage.files.blobs import StoredBlob
from storage.files.trainings import register_training
from storage.results.events import list_events
from storage.results.metrics import read_metrics, write_metrics
from storage.runs.heartbeats import Beat, send_heartbeat, send_heartbeats
from storage.runs.lease_expiry import expire_leases, expire_worker
from storage.runs.placement import Needs
from storage.runs.transitions import release_run
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")

Transition = Callable[[Store, str, int], bool]

TRANSITIONS: dict[str, tuple[Transition, RunStatus]] = {
    "finish": (Store.finish, RunStatus.SUCCEEDED),
    "fail": (Store.fail, RunStatus.FAILED),
    "cancel": (Store.cancel, RunStatus.CANCELLED),
    "release": (Store.release, RunStatus.QUEUED),
}


def renew_lease(store: Store, run_id: str, fence: int) -> bool:
    return send_heartbeat(store.db, Beat(run_id, fence, (1.0, 2.0, "epochs")), 60).alive


def renew_leases(store: Store, run_id: str, fence: int) -> bool:
    return run_id in send_heartbeats(store.db, [Beat(run_id, fence, (1.0, 2.0, "epochs"))], 60)


def store_metric(store: Store, run_id: str, fence: int) -> bool:
    with store.db.write() as session:
        return write_metrics(session, run_id, fence, [(0, "train_loss", 1, 0.5)])


def store_training(store: Store, run_id: str, fence: int) -> bool:
    with store.db.write() as session:
        return register_training(
            session,
            digest="d" * 64,
            spec_digest="f" * 64,
            seed=0,
            run_id=run_id,
            fence=fence,
            result={},
        )


def store_artifact(store: Store, run_id: str, fence: int) -> bool:
    with store.db.write() as session:
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


WRITES: dict[str, Transition] = {
    "heartbeat": renew_lease,
    "heartbeats of several": renew_leases,
    "metrics": store_metric,
    "artifact": store_artifact,
    "training": store_training,
}


def event_names(store: Store, experiment_id: str) -> list[str]:
    with store.db.read() as session:
        return [event.name for event in list_events(session, experiment_id, 0, 1_000)]


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_happens_once_and_has_one_event(store: Store, name: str) -> None:
    transition, status = TRANSITIONS[name]
    experiment_id, (run_id,) = store.submit()
    fence = store.claim().fence
    assert store.run(run_id).status is RunStatus.RUNNING
    assert transition(store, run_id, fence)
    names = event_names(store, experiment_id)
    row = store.run(run_id)
    assert (row.status, row.finished_at is not None) == (status, status.is_terminal)
    assert store.experiment(experiment_id).status == status.value
    assert not transition(store, run_id, fence)
    assert event_names(store, experiment_id) == names
    assert names.count("experiment.finished") == status.is_terminal


@pytest.mark.parametrize("name", [*TRANSITIONS, *WRITES])
def test_nothing_is_written_with_an_outdated_fence(store: Store, name: str) -> None:
    """The lease expired and another worker claimed the run before the first one writes."""
    transition = TRANSITIONS[name][0] if name in TRANSITIONS else WRITES[name]
    experiment_id, (run_id,) = store.submit()
    stale = store.claim().fence
    store.end_lease(run_id)
    assert expire_leases(store.db, max_attempts=4) == [run_id]
    fresh = store.claim(worker="host:3:4").fence
    before, names = store.run(run_id), event_names(store, experiment_id)
    assert fresh == stale + 2
    assert not transition(store, run_id, stale)
    assert store.run(run_id).model_dump() == before.model_dump()
    assert event_names(store, experiment_id) == names
    with store.db.read() as session:
        assert read_metrics(session, run_id=run_id) == []
        assert list_artifacts(session, run_id, "artifact") == []
    assert transition(store, run_id, fresh)


@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_written_to_a_run_that_has_ended(store: Store, name: str) -> None:
    run_id = store.submit()[1][0]
    fence = store.claim().fence
    assert store.finish(run_id, fence)
    assert not WRITES[name](store, run_id, fence)


def test_a_heartbeat_renews_the_lease_and_returns_the_cancel_request(store: Store) -> None:
    experiment_id, (run_id,) = store.submit()
    fence = store.claim(lease_seconds=0.0).fence
    beat = Beat(run_id, fence, (3.0, 10.0, "epochs"))
    assert send_heartbeat(store.db, beat, 60).cancel_requested is False
    assert expire_leases(store.db, max_attempts=4) == []
    row = store.run(run_id)
    assert (row.progress_completed, row.progress_total, row.progress_unit) == (3.0, 10.0, "epochs")
    with store.db.write() as session:
        cancel_experiment(session, experiment_id)
    assert store.run(run_id).status is RunStatus.RUNNING
    assert send_heartbeat(store.db, Beat(run_id, fence), 60).cancel_requested is True


def test_a_released_run_keeps_its_attempts(store: Store) -> None:
    run_id = store.submit()[1][0]
    for interruptions in (1, 2):
        assert store.release(run_id, store.claim().fence)
        row = store.run(run_id)
        assert (row.attempts, row.interruptions, row.losses, row.worker) == (
            0,
            interruptions,
            0,
            None,
        )


def test_a_run_that_loses_its_worker_too_often_fails_once(store: Store) -> None:
    experiment_id, (run_id,) = store.submit()
    for losses in range(1, 4):
        store.claim(worker="host:1:2")
        assert expire_worker(store.db, "host:9:9", max_attempts=3) == []
        assert expire_worker(store.db, "host:1:2", max_attempts=3) == [run_id]
        assert store.run(run_id).losses == losses
    row = store.run(run_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, FailureReason.WORKER_LOST)
    assert store.experiment(experiment_id).status is ExperimentStatus.FAILED
    assert expire_leases(store.db, max_attempts=3) == []
    assert event_names(store, experiment_id).count("run.failed") == 1


def test_a_lost_run_with_a_cancel_request_is_cancelled(store: Store) -> None:
    experiment_id, (run_id,) = store.submit()
    store.claim()
    with store.db.write() as session:
        cancel_experiment(session, experiment_id)
    store.end_lease(run_id)
    assert expire_leases(store.db, max_attempts=4) == [run_id]
    assert store.run(run_id).status is RunStatus.CANCELLED


def wait_for_a_lock(db: Database) -> None:
    """Wait until another transaction waits for this one; on SQLite it cannot even begin."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 60
    while not db.is_sqlite:
        with db.read() as session:
            if session.execute(waiting).scalar_one():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("transition", ["release", "expire"])
def test_a_cancel_request_wins_over_a_concurrent_release(store: Store, transition: str) -> None:
    """A queued run with a cancel request would be claimed by no worker and wait for ever."""
    experiment_id, (run_id,) = store.submit()
    fence = store.claim().fence

    def requeue() -> bool:
        if transition == "expire":
            return expire_worker(store.db, "host:1:2", max_attempts=4) == [run_id]
        with store.db.write() as session:
            return release_run(session, run_id, fence)

    with ThreadPoolExecutor(1) as pool:
        with store.db.write() as session:
            cancel_experiment(session, experiment_id)
            ended = pool.submit(requeue)
            wait_for_a_lock(store.db)
        assert ended.result(timeout=60)
    assert store.run(run_id).status is RunStatus.CANCELLED
    assert store.experiment(experiment_id).status is ExperimentStatus.CANCELLED


def test_cancelling_ends_queued_runs_and_requests_running_ones_to_stop(store: Store) -> None:
    experiment_id, (running, waiting) = store.submit(((0,), (1,)))
    fence = store.claim().fence
    for _ in range(2):
        with store.db.write() as session:
            cancel_experiment(session, experiment_id)
        assert store.run(waiting).status is RunStatus.CANCELLED
        assert store.experiment(experiment_id).status is ExperimentStatus.RUNNING
    assert store.cancel(running, fence)
    assert store.experiment(experiment_id).status is ExperimentStatus.CANCELLED
    assert event_names(store, experiment_id).count("experiment.cancel_requested") == 1


def test_an_ended_experiment_cannot_be_cancelled(store: Store) -> None:
    experiment_id, (run_id,) = store.submit()
    store.finish(run_id, store.claim().fence)
    with pytest.raises(InvalidTransition, match="already succeeded"), store.db.write() as session:
        cancel_experiment(session, experiment_id)


def test_a_retry_gives_failed_runs_a_new_fence(store: Store) -> None:
    experiment_id, (failed, done) = store.submit(((0,), (1,)))
    fence = store.claim().fence
    store.fail(failed, fence)
    store.finish(done, store.claim().fence)
    with store.db.write() as session:
        _, needs = retry_experiment(session, experiment_id)
    assert needs == [Needs()]
    row = store.run(failed)
    assert (row.status, row.fence, row.error_code) == (RunStatus.QUEUED, fence + 1, None)
    assert store.finish(failed, store.claim().fence)
    assert store.experiment(experiment_id).status is ExperimentStatus.SUCCEEDED
