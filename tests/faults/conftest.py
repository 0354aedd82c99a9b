"""Fixtures: a worker in the test's process, the listener of fault points, and worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime import fault_points
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from tests.faults.fault_injection import SetListener
from tests.faults.in_process_worker import InProcessWorker, make_settings
from workers import context


@pytest.fixture
def worker(
    tmp_path: Path, sqlite_url: str, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcessWorker]:
    """Saves at every step, however much time that takes."""
    monkeypatch.setattr(context, "SAVE_SHARE", float("inf"))
    made = InProcessWorker(
        make_settings(tmp_path, database_url=sqlite_url), Database(sqlite_url), blobs
    )
    yield made
    made.db.dispose()


@pytest.fixture
def set_listener(monkeypatch: pytest.MonkeyPatch) -> SetListener:
    def set_listener_of_process(listener: Callable[[str], None] | None) -> None:
        monkeypatch.setattr(fault_points, "listener", listener)

    return set_listener_of_process
