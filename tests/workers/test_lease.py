"""The lease of a run: heartbeats, and when a worker stops by itself."""

from __future__ import annotations

import time

import pytest

from engine.errors import (
    RunCancelled,
)
from storage.experiments.cancel import cancel_experiment
from storage.runs.claim import Claim
from storage.runs.lease_expiry import expire_worker
from tests.workers.run_contexts import (
    WORKER_NAME,
    make_context,
)
from tests.workers.worker_harness import WorkerHarness
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


def test_a_worker_that_cannot_renew_its_lease_stops_before_the_lease_expires(
    harness: WorkerHarness, claim: Claim
) -> None:
    settings = harness.settings.model_copy(update={"lease_seconds": 0.3})
    lease = Lease(harness.db, settings, claim.run_id, claim.fence)
    assert not lease.is_lost
    time.sleep(0.25)
    assert lease.is_lost
