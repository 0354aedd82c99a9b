"""Leases follow the database's clock, whatever a worker's own clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.database import engine
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from storage.runs import claim as claim_module
from storage.runs import lease_expiry, transitions
from storage.runs.lease_expiry import expire_leases
from storage.runs.transitions import heartbeat
from tests.faults.in_process_worker import SPEC, InProcessWorker, make_settings
from tests.postgres import new_database


def shifted_clock(hours: float) -> type[datetime]:
    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=hours)

    return Shifted


def set_worker_clock(patch: pytest.MonkeyPatch, hours: float, protected: bool) -> None:
    """Shift this process's clock; if not protected, leases follow it."""
    clock = shifted_clock(hours)
    patch.setattr(engine, "datetime", clock)
    if not protected:
        for module in (claim_module, lease_expiry, transitions):
            patch.setattr(module, "database_now", lambda session: clock.now(UTC))


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
            assert heartbeat(worker.db, run_id, claim.fence, 30.0).alive
        is_kept = expire_leases(worker.db, 3) == []
        with monkeypatch.context() as patch:
            set_worker_clock(patch, hours, protected)
            heartbeat(worker.db, run_id, claim.fence, -1.0)
        is_expired = expire_leases(worker.db, 3) == [run_id]
        worker.db.dispose()
        assert (is_kept and is_expired) == protected
