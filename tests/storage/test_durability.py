"""What SQLite has written to the disk when a transaction ends."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from runtime.settings import Settings
from storage.database.engine import Database
from storage.runs.heartbeats import Beat, send_heartbeat
from storage.runs.transitions import mark_woken
from tests.storage.conftest import Store

NORMAL, FULL = 1, 2
"""Levels of `PRAGMA synchronous`: in WAL mode only FULL syncs the log at each commit"""


def level(db: Database, **options: Any) -> int:
    with db.write(**options) as session:
        return int(session.execute(text("PRAGMA synchronous")).scalar_one())


def test_a_transaction_is_on_the_disk_unless_it_says_otherwise(settings: Settings) -> None:
    db = Database(settings.resolved_database_url)
    assert [level(db), level(db, durable=False), level(db)] == [FULL, NORMAL, FULL]
    db.dispose()


@pytest.fixture
def levels(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each later transaction was durable."""
    found: list[bool] = []
    write = Database.write

    def record(self: Database, *, durable: bool = True) -> Any:
        found.append(durable)
        return write(self, durable=durable)

    monkeypatch.setattr(Database, "write", record)
    return found


def test_submissions_and_ends_are_durable(store: Store, levels: list[bool]) -> None:
    _, run_id, fence = store.start_run()
    assert levels.pop(0), "the submission"
    levels.clear()
    assert store.finish(run_id, fence)
    assert levels == [True]


def test_heartbeats_claims_and_wake_ups_are_not(store: Store, levels: list[bool]) -> None:
    _, (run_id,) = store.submit()
    levels.clear()
    claim = store.claim()
    send_heartbeat(store.db, Beat(run_id, claim.fence), 60.0)
    mark_woken(store.db, [run_id])
    assert levels == [False, False, False]
