"""Clocks that are wrong, jump ahead or are set back, and processes that are paused."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import HttpUrl

from runtime import clock as clock_module
from runtime import fault_points
from runtime.settings import Settings
from schemas.webhooks import Webhook
from storage.database.engine import Database
from storage.delivery.webhooks import add_webhook, claim_deliveries
from storage.files.artifacts import list_artifacts
from storage.files.blobs import BlobStore
from storage.runs import claim as claim_module
from storage.runs import heartbeats, lease_expiry, transitions
from storage.runs.clock_watch import ClockWatch
from storage.runs.heartbeats import Beat, send_heartbeat
from storage.runs.lease_expiry import expire_leases
from storage.runs.transitions import list_runs_to_wake, mark_woken
from storage.runs.workers import (
    count_idle,
    count_listening,
    list_workers,
    note_worker_seen,
    register_worker,
)
from tests.faults.in_process_worker import SPEC, InProcessWorker, make_settings
from tests.faults.shifted_clocks import ShiftedDatabase, shifted_postgres, shifted_sqlite
from tests.postgres import new_database
from tests.waiting import wait_until
from tests.workers.run_contexts import make_context, save_resume
from tests.workers.worker_harness import WorkerHarness
from workers.lease import Lease
from workers.watchdog import Watchdog

pytestmark = pytest.mark.xdist_group("clock_skew")

QUARTER, HOUR = 900.0, 3600.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_SECONDS = 30.0
ENDLESS = {"kind": "train", "epochs": 10_000, "model": {"name": "relu_net", "width": 20}}


class OwnClock:
    """The monotonic clock of a process, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def shifted(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ShiftedDatabase]:
    if request.param == "sqlite":
        with shifted_sqlite(tmp_path, sqlite_template, monkeypatch) as made:
            yield made
    else:
        with shifted_postgres(request.getfixturevalue("postgres_server")) as made:
            yield made


@pytest.fixture
def own() -> OwnClock:
    return OwnClock()


@pytest.fixture
def worker(
    shifted: ShiftedDatabase, tmp_path: Path, blobs: BlobStore, own: OwnClock
) -> Iterator[InProcessWorker]:
    settings = make_settings(tmp_path, database_url=shifted.url)
    made = InProcessWorker(settings, Database(shifted.url), blobs)
    made.clock = ClockWatch(LEASE_SECONDS, 2.0, own)
    yield made
    made.db.dispose()


@pytest.mark.parametrize("hours", [-1.0, 1.0])
@pytest.mark.parametrize("protected", [True, False])
def test_leases_follow_the_database_clock_when_a_worker_s_clock_is_wrong(
    postgres_server: str,
    tmp_path: Path,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
    hours: float,
    protected: bool,
) -> None:
    """The lease lasts while it is renewed and expires afterwards; with the worker's own clock it
    does not (protected=False)."""
    with new_database(postgres_server) as url:
        worker = InProcessWorker(make_settings(tmp_path, database_url=url), Database(url), blobs)
        worker.db.upgrade()
        _, run_id = worker.submit(SPEC)
        with monkeypatch.context() as patch:
            set_worker_clock(patch, hours, protected)
            claim = worker.require_claim()
            assert send_heartbeat(worker.db, Beat(run_id, claim.fence), 30.0).alive
        is_kept = expire_leases(worker.db, 3) == []
        with monkeypatch.context() as patch:
            set_worker_clock(patch, hours, protected)
            send_heartbeat(worker.db, Beat(run_id, claim.fence), -1.0)
        is_expired = expire_leases(worker.db, 3) == [run_id]
        worker.db.dispose()
        assert (is_kept and is_expired) == protected


def set_worker_clock(patch: pytest.MonkeyPatch, hours: float, protected: bool) -> None:
    """Shift this process's clock; if not protected, leases follow it."""
    patch.setattr(fault_points, "clock_shift", lambda: hours * HOUR)
    if not protected:
        for module in (claim_module, heartbeats, lease_expiry, transitions):
            patch.setattr(module, "database_now", lambda session: clock_module.wall_clock())


def test_a_jump_ahead_ends_no_lease_that_its_worker_renews_afterwards(
    worker: InProcessWorker,
    shifted: ShiftedDatabase,
    own: OwnClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, run_id = worker.submit(SPEC)
    claim = worker.require_claim()
    worker.reconcile()
    shifted.shift(QUARTER)
    with caplog.at_level(logging.WARNING):
        worker.reconcile()
    assert "the clock jumped ahead by 15 min" in caplog.text
    assert worker.run(run_id).status == "running"
    assert send_heartbeat(worker.db, Beat(run_id, claim.fence), LEASE_SECONDS).alive
    own.now += LEASE_SECONDS + 1
    worker.reconcile()
    assert worker.run(run_id).status == "running"


def test_a_run_whose_worker_is_dead_is_queued_again_one_lease_after_a_jump_ahead(
    worker: InProcessWorker, shifted: ShiftedDatabase, own: OwnClock
) -> None:
    _, run_id = worker.submit(SPEC)
    worker.require_claim()
    worker.reconcile()
    shifted.shift(QUARTER)
    worker.reconcile()
    own.now += LEASE_SECONDS + 1
    worker.reconcile()
    assert worker.run(run_id).status == "queued"


def test_a_paused_process_ends_no_lease_at_once(
    worker: InProcessWorker,
    shifted: ShiftedDatabase,
    own: OwnClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A frozen container: both clocks went on, and no process ran."""
    _, run_id = worker.submit(SPEC)
    worker.require_claim()
    worker.reconcile()
    shifted.shift(QUARTER)
    own.now += QUARTER
    worker.reconcile()
    assert "this process was paused for 15 min" in caplog.text
    assert worker.run(run_id).status == "running"


def test_leases_end_although_every_pass_is_late(own: OwnClock) -> None:
    """As on a machine that is far too busy."""
    watch = ClockWatch(LEASE_SECONDS, 2.0, own)
    settled = []
    for late in range(4):
        watch.compare(NOON + timedelta(seconds=late * LEASE_SECONDS))
        settled.append(watch.is_settled)
        own.now += LEASE_SECONDS
    assert settled == [True, False, True, False]


def test_a_jump_ahead_makes_no_run_stall_or_time_out(
    worker: InProcessWorker, shifted: ShiftedDatabase, own: OwnClock
) -> None:
    _, run_id = worker.submit(SPEC, max_seconds=60)
    claim = worker.require_claim()
    watchdog = Watchdog(2.0, own)
    with Lease(worker.db, worker.settings, run_id, claim.fence) as lease:
        ctx = make_context(worker, claim, lease=lease)
        watchdog.kill_unresponsive_children(worker.db, "host:1:")
        shifted.shift(QUARTER)
        watchdog.kill_unresponsive_children(worker.db, "host:1:")
        ctx.check()
        assert lease.beat()
    with worker.db.write() as session:
        assert transitions.release_run(session, run_id, claim.fence, lease.elapsed_seconds)
    row = worker.run(run_id)
    assert row.status == "queued"
    assert row.elapsed_seconds < 30, "the quarter of an hour is no computing time"
    make_context(worker, worker.require_claim()).check()


def test_a_pause_of_the_parent_does_not_count_as_silence_of_its_children(
    worker: InProcessWorker, own: OwnClock
) -> None:
    _, run_id = worker.submit(SPEC)
    worker.require_claim()
    watchdog = Watchdog(2.0, own)
    for _ in range(3):
        own.now += QUARTER
        watchdog.kill_unresponsive_children(worker.db, "host:1:")
    assert worker.run(run_id).status == "running"


def test_a_dead_worker_s_run_does_not_wait_for_a_clock_that_was_set_back(
    worker: InProcessWorker, shifted: ShiftedDatabase, own: OwnClock
) -> None:
    shifted.shift(HOUR)
    _, run_id = worker.submit(SPEC)
    worker.require_claim()
    worker.reconcile()
    for seconds in (0.0, 11.0, 22.0, 33.0):
        own.now += 11
        shifted.shift(seconds)
        worker.reconcile()
    assert worker.run(run_id).status == "queued"


def test_a_worker_keeps_its_run_while_the_clock_is_set_back(
    worker: InProcessWorker, shifted: ShiftedDatabase, own: OwnClock
) -> None:
    shifted.shift(HOUR)
    _, run_id = worker.submit(SPEC)
    claim = worker.require_claim()
    worker.reconcile()
    shifted.shift(0)
    worker.reconcile()
    assert send_heartbeat(worker.db, Beat(run_id, claim.fence), LEASE_SECONDS).alive
    own.now += LEASE_SECONDS
    shifted.shift(LEASE_SECONDS - 1)
    worker.reconcile()
    assert worker.run(run_id).status == "running"


def test_a_worker_that_was_seen_in_the_future_does_not_listen(
    worker: InProcessWorker, shifted: ShiftedDatabase
) -> None:
    shifted.shift(HOUR)
    with worker.db.write() as session:
        worker_id = register_worker(
            session,
            host="here",
            pid=1,
            device="cpu",
            device_class="cpu",
            slots=1,
            memory_bytes=0,
            versions={},
        )
    shifted.shift(0)
    assert listening(worker.db) == [False] * 3
    with worker.db.write() as session:
        assert note_worker_seen(session, worker_id, slots=1)
    assert listening(worker.db) == [True] * 3


def listening(db: Database) -> list[bool]:
    with db.read() as session:
        return [
            list_workers(session)[0].listening,
            bool(count_listening(session)),
            bool(count_idle(session)),
        ]


def test_a_run_woken_in_the_future_is_woken_again(
    worker: InProcessWorker, shifted: ShiftedDatabase
) -> None:
    _, woken = worker.submit(SPEC)
    shifted.shift(HOUR)
    _, submitted = worker.submit(SPEC)
    mark_woken(worker.db, [woken])
    shifted.shift(0)
    assert set(list_runs_to_wake(worker.db, 15.0)) == {woken, submitted}


def test_a_delivery_stored_in_the_future_is_sent(
    worker: InProcessWorker, shifted: ShiftedDatabase
) -> None:
    experiment_id, _ = worker.submit(SPEC)
    with worker.db.write() as session:
        add_webhook(session, experiment_id, Webhook(url=HttpUrl("https://example.org/hook")))
    shifted.shift(HOUR)
    worker.work_until_idle()
    shifted.shift(0)
    assert len(claim_deliveries(worker.db, limit=10, lease_seconds=30.0)) == 1
    assert claim_deliveries(worker.db, limit=10, lease_seconds=30.0) == []


def test_the_last_save_is_the_newest_although_the_clock_was_set_back_before_it(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run_id = worker.submit(SPEC)
    ctx = make_context(worker, worker.require_claim())
    save_resume(ctx, 1)
    save_resume(ctx, 2)
    nanoseconds = time.time_ns
    monkeypatch.setattr("storage.database.ids.time.time_ns", lambda: nanoseconds() - 3600 * 10**9)
    for step in (3, 4, 5):
        save_resume(ctx, step)
    with worker.db.read() as session:
        kept = list_artifacts(session, run_id, "resume")
    assert {row.epoch for row in kept} == {4, 5}
    assert all(worker.blobs.exists(row.sha256) for row in kept)
    worker.expire_own_runs()
    found = make_context(worker, worker.require_claim()).load_resume()
    assert found is not None
    assert found.step == 5


@pytest.fixture
def process(
    shifted: ShiftedDatabase, tmp_path: Path, broker_server: str, blobs: BlobStore
) -> Iterator[WorkerHarness]:
    """A real worker on the shifted database, whose lease lasts 3 s."""
    settings = Settings(
        home=tmp_path,
        broker_url=f"redis+socket://{broker_server}",
        checkpoint_seconds=0.5,
        lease_seconds=3.0,
        heartbeat_seconds=0.5,
        wake_after_seconds=2.0,
    )
    harness = WorkerHarness(settings, Database(shifted.url), blobs)
    (tmp_path / "worker.log").touch()
    harness.start_worker(
        1,
        RICHREGIME_DATABASE_URL=shifted.url,
        RICHREGIME_HEARTBEAT_SECONDS="0.5",
        **shifted.environment,
    )
    yield harness
    harness.close()


def test_a_running_run_survives_jumps_and_a_pause_of_its_worker(
    process: WorkerHarness, shifted: ShiftedDatabase
) -> None:
    experiment_id, run_id = process.submit(ENDLESS, max_seconds=600)
    process.wait_for_checkpoint(run_id)
    for seconds, message in ((QUARTER, "jumped ahead by"), (-HOUR, "set back by")):
        shifted.shift(seconds)
        wait_until(partial(process_log_has, process, message), 20)
        wait_for_progress(process, run_id)
    pause(process, run_id, 6.0)
    wait_until(partial(process_log_has, process, "was paused for"), 20)
    wait_for_progress(process, run_id)
    row = process.run(run_id)
    assert (row.status, row.attempts, row.losses) == ("running", 1, 0), process.log
    assert 0 < row.elapsed_seconds < 300
    assert "run.lease_lost" not in process.events(experiment_id)


def process_log_has(process: WorkerHarness, message: str) -> bool:
    return message in process.log


def wait_for_progress(process: WorkerHarness, run_id: str) -> None:
    before = process.run(run_id).progress_completed
    wait_until(lambda: process.run(run_id).progress_completed > before, 20)


def pause(process: WorkerHarness, run_id: str, seconds: float) -> None:
    """Stop the worker and its child for so long, as a frozen container is."""
    pids = (process.processes[0].pid, process.child_of(run_id))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
