"""Log lines of a run carry its ids."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.settings import Settings
from storage.database.engine import Database
from storage.runs.claim import Claim
from workers import tasks
from workers.lease import Lease
from workers.tasks import Child, work

CLAIM = Claim("run_1", 1, "exp_1", "train", 0, {}, {}, "x", (0,), {}, True, None, 0.0, 2, "ada")


def test_only_log_lines_within_a_run_carry_its_ids(
    log_stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("richregime.worker")

    def execute(*_: Any) -> None:
        log.warning("started")
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
        heartbeats=None,
    )
    monkeypatch.setattr(tasks, "execute_run", execute)
    work(cast(Child, child))
    log.warning("listening")
    within, renewed, after = [json.loads(line) for line in log_stream.getvalue().splitlines()]
    ids = {
        "run_id": "run_1",
        "experiment_id": "exp_1",
        "attempt": 2,
        "worker_id": "host:1:2",
        "owner": "ada",
    }
    assert ids.items() <= within.items()
    assert ids.items() <= renewed.items(), "lines of the lease's thread too"
    assert "run_id" not in after
    assert after["process"] == "worker-cpu"
