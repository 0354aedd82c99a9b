"""The parent process of a worker: its seen file for probes, and Celery's output in the log."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import celery.apps.worker
import pytest

from runtime.settings import Settings
from storage.database.engine import DatabaseUnavailable
from workers import parent
from workers.parent import Worker, log_celery_messages


def test_the_seen_file_is_touched_only_after_a_report_to_the_database(
    settings: Settings, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    seen = tmp_path / "seen"
    worker = Worker(settings, "cpu", 1, seen_file=seen)

    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("no response", None, TimeoutError())

    with monkeypatch.context() as patch:
        patch.setattr(parent, "register_worker", fail)
        with pytest.raises(DatabaseUnavailable):
            worker._run_maintenance()
    assert not seen.exists()
    worker._run_maintenance()
    assert seen.exists()


def test_celery_messages_go_to_the_log(
    log_stream: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery.apps.worker, "safe_say", celery.apps.worker.safe_say)
    log_celery_messages()
    logging.getLogger("richregime.worker").setLevel(logging.INFO)
    celery.apps.worker.safe_say("worker: Warm shutdown (MainProcess)", sys.__stdout__)
    assert json.loads(log_stream.getvalue())["message"] == "worker: Warm shutdown (MainProcess)"
    assert capfd.readouterr().out == ""
