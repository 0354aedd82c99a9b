"""Unresponsive children are killed and their runs ended."""

from __future__ import annotations

from typing import Any

import pytest

from storage.experiments.cancel import cancel_experiment
from storage.runs.claim import Claim
from storage.runs.running import RunningRun, list_running
from tests.workers.run_contexts import (
    WORKER_NAME,
)
from tests.workers.worker_harness import WorkerHarness
from workers import watchdog


def running_run(**changes: Any) -> RunningRun:
    defaults: dict[str, Any] = {
        "run_id": "run_1",
        "fence": 1,
        "worker": WORKER_NAME,
        "max_seconds": None,
        "computed_seconds": 10.0,
        "silent_seconds": 1.0,
        "step_seconds": 0.0,
        "seconds_since_cancel": None,
    }
    return RunningRun(**{**defaults, **changes})


@pytest.mark.parametrize(
    ("run", "must_end"),
    [
        (running_run(), False),
        (running_run(seconds_since_cancel=5.0), False),
        (running_run(seconds_since_cancel=60.0), True),
        (running_run(max_seconds=60, computed_seconds=70.0), False),
        (running_run(max_seconds=60, computed_seconds=100.0), True),
        (running_run(silent_seconds=500.0), False),
        (running_run(silent_seconds=700.0), True),
        (running_run(silent_seconds=700.0, step_seconds=60.0), False),
        (running_run(silent_seconds=1300.0, step_seconds=60.0), True),
    ],
)
def test_a_child_is_killed_only_after_it_has_had_time_to_respond(
    run: RunningRun, must_end: bool
) -> None:
    assert (watchdog.forced_ending(run) is not None) == must_end


def test_an_unresponsive_child_is_killed_and_its_run_cancelled(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr("workers.watchdog.os.kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(watchdog, "UNRESPONSIVE_SECONDS", -1.0)
    watchdog.kill_unresponsive_children(harness.db, "host:1:")
    assert killed == []
    with harness.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    watchdog.kill_unresponsive_children(harness.db, "other:")
    assert killed == []
    watchdog.kill_unresponsive_children(harness.db, "host:1:")
    assert killed == [2]
    assert harness.run(claim.run_id).status == "cancelled"
    assert list_running(harness.db, "host:1:") == []
