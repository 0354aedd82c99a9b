"""The file by which a probe sees that a worker lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import Settings
from storage.database.engine import DatabaseUnavailable
from workers import parent
from workers.parent import Worker


def test_it_is_touched_after_the_database_was_told_and_not_without(
    settings: Settings, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    seen = tmp_path / "seen"
    worker = Worker(settings, "cpu", 1, seen_file=seen)

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("it does not answer", None, TimeoutError())

    with monkeypatch.context() as patch:
        patch.setattr(parent, "note_worker_seen", fail)
        with pytest.raises(DatabaseUnavailable):
            worker._run_maintenance()
    assert not seen.exists()
    worker._run_maintenance()
    assert seen.exists()
