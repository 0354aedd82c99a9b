"""What a worker's log tells of the run it executes."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import celery.apps.worker
import pytest

from runtime.logs import LogFormat, make_formatter
from runtime.settings import Settings
from storage.database.engine import Database
from storage.runs.claim import Claim
from workers import tasks
from workers.lease import Lease
from workers.parent import log_celery_messages
from workers.tasks import Child, work

CLAIM = Claim("run_1", 1, "exp_1", "train", 0, {}, {}, "x", (0,), {}, True, None, 0.0, 2, "ada")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(make_formatter(LogFormat.JSON, "worker-cpu"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def test_every_line_within_a_run_tells_whose_it_is_and_no_line_after_it(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("richregime.worker")

    def execute(*_: Any) -> None:
        log.warning("it begins")
        monkeypatch.setattr(Lease, "_loop", lambda _: log.warning("the lease is renewed"))
        with Lease(cast(Database, None), Settings(), "run_1", 1):
            pass

    claims = iter([(CLAIM, "cpu"), None])
    drain = SimpleNamespace(is_set=lambda: False)
    child = SimpleNamespace(
        claim=lambda: next(claims),
        drain=drain,
        worker="host:1:2",
        db=None,
        blobs=None,
        settings=None,
    )
    monkeypatch.setattr(tasks, "execute_run", execute)
    work(cast(Child, child))
    log.warning("it listens")
    inside, renewed, after = [json.loads(line) for line in stream.getvalue().splitlines()]
    about = {
        "run_id": "run_1",
        "experiment_id": "exp_1",
        "attempt": 2,
        "worker_id": "host:1:2",
        "owner": "ada",
    }
    assert about.items() <= inside.items()
    assert about.items() <= renewed.items(), "the lease's own thread too"
    assert "run_id" not in after
    assert after["process"] == "worker-cpu"


def test_what_celery_would_print_is_logged(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery.apps.worker, "safe_say", celery.apps.worker.safe_say)
    log_celery_messages()
    logging.getLogger("richregime.worker").setLevel(logging.INFO)
    celery.apps.worker.safe_say("worker: Warm shutdown (MainProcess)", sys.__stdout__)
    assert json.loads(stream.getvalue())["message"] == "worker: Warm shutdown (MainProcess)"
    assert capfd.readouterr().out == ""
