"""The lease of a run: heartbeats, and when a worker stops by itself."""

from __future__ import annotations

import time
from threading import Event
from typing import Any

import pytest

from engine.errors import (
    RunCancelled,
)
from storage.database.engine import DatabaseUnavailable
from storage.database.tables import RunRow
from storage.experiments.cancel import cancel_experiment
from storage.runs.claim import Claim
from storage.runs.lease_expiry import expire_worker
from tests.workers.run_contexts import (
    WORKER_NAME,
    make_context,
)
from tests.workers.worker_harness import WorkerHarness
from workers import lease as lease_module
from workers.context import LeaseLost
from workers.lease import Lease


def test_a_heartbeat_reports_a_cancel_request_and_a_lost_run(
    harness: WorkerHarness, claim: Claim
) -> None:
    lease = Lease(harness.db, harness.settings, claim.run_id, claim.fence)
    ctx = make_context(harness, claim, lease=lease)
    assert lease.beat()
    ctx.check()
    with harness.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    assert lease.beat()
    with pytest.raises(RunCancelled):
        ctx.check()
    expire_worker(harness.db, WORKER_NAME, 3)
    assert not lease.beat()
    with pytest.raises(LeaseLost):
        ctx.check()


class WaitingHeartbeats:
    """Heartbeats that wait for those of other runs until this one has ended."""

    def __init__(self) -> None:
        self.waits, self.released = Event(), Event()

    def renew(self, *_: object) -> None:
        self.waits.set()
        self.released.wait(20)


def test_the_last_heartbeat_has_the_progress_that_another_one_still_holds(
    harness: WorkerHarness, claim: Claim
) -> None:
    settings = harness.settings.model_copy(update={"heartbeat_seconds": 0.05})
    heartbeats: Any = WaitingHeartbeats()
    lease = Lease(harness.db, settings, claim.run_id, claim.fence, shared=heartbeats)
    lease.note_progress(4, 4, "seed-epochs")
    with lease:
        assert heartbeats.waits.wait(20)
        assert lease.beat(is_last=True)
        with harness.db.read() as session:
            row = session.get_one(RunRow, claim.run_id)
            assert (row.progress_completed, row.progress_total) == (4, 4)
        heartbeats.released.set()


@pytest.fixture
def short_lease(harness: WorkerHarness, claim: Claim) -> Lease:
    """Overdue after 0.2 s; no thread renews it."""
    settings = harness.settings.model_copy(update={"lease_seconds": 0.3})
    return Lease(harness.db, settings, claim.run_id, claim.fence)


def test_a_worker_that_cannot_renew_its_lease_stops_before_the_lease_expires(
    short_lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseUnavailable("no response", None, TimeoutError())

    monkeypatch.setattr(lease_module, "send_heartbeat", fail)
    assert not short_lease.is_lost
    time.sleep(0.25)
    assert short_lease.is_lost


def test_a_worker_that_was_paused_keeps_its_run_if_nobody_else_has_it(short_lease: Lease) -> None:
    time.sleep(0.25)
    assert not short_lease.is_lost


def test_a_worker_that_was_paused_stops_if_the_run_was_queued_again(
    harness: WorkerHarness, claim: Claim, short_lease: Lease
) -> None:
    expire_worker(harness.db, WORKER_NAME, 3)
    assert not short_lease.is_lost, "not yet noticed"
    time.sleep(0.25)
    assert short_lease.is_lost


def test_a_pause_is_no_computing_time(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(harness.db, harness.settings, claim.run_id, claim.fence, elapsed_seconds=100.0)
    now = time.monotonic()
    for _ in range(5):
        now += harness.settings.heartbeat_seconds
        monkeypatch.setattr(time, "monotonic", lambda at=now: at)
        lease._count()
    assert 105 <= lease.elapsed_seconds < 106
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert lease.elapsed_seconds < 120
