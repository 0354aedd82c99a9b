"""Unresponsive children are killed and their runs ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from workers.watchdog import WatchedRun

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def watched_run(
    computed: float = 10.0, silent: float = 1.0, since_cancel: float | None = None, **changes: Any
) -> WatchedRun:
    defaults: dict[str, Any] = {
        "run_id": "run_1",
        "fence": 1,
        "worker": WORKER_NAME,
        "max_seconds": None,
        "elapsed_seconds": 0.0,
        "progress_at": None,
        "step_seconds": 0.0,
        "is_cancel_requested": since_cancel is not None,
    }
    return WatchedRun(RunningRun(**{**defaults, **changes}), computed, silent, since_cancel or 0.0)


@pytest.mark.parametrize(
    ("run", "must_end"),
    [
        (watched_run(), False),
        (watched_run(since_cancel=5.0), False),
        (watched_run(since_cancel=60.0), True),
        (watched_run(max_seconds=60, computed=70.0), False),
        (watched_run(max_seconds=60, computed=100.0), True),
        (watched_run(silent=500.0), False),
        (watched_run(silent=700.0), True),
        (watched_run(silent=700.0, step_seconds=60.0), False),
        (watched_run(silent=1300.0, step_seconds=60.0), True),
    ],
)
def test_a_child_is_killed_only_after_it_has_had_time_to_respond(
    run: WatchedRun, must_end: bool
) -> None:
    assert (watchdog.forced_ending(run) is not None) == must_end


def test_silence_cancel_requests_and_computing_are_measured_from_pass_to_pass() -> None:
    quiet = watched_run(5.0, 0.0, elapsed_seconds=5.0, progress_at=NOON)
    later = quiet.look_again(quiet.run, 2.0).look_again(quiet.run, 2.0)
    assert (later.silent_seconds, later.computed_seconds) == (4.0, 9.0)
    active = replace(quiet.run, progress_at=NOON + timedelta(seconds=1), is_cancel_requested=True)
    seen = later.look_again(active, 2.0)
    assert (seen.silent_seconds, seen.seconds_since_cancel) == (0.0, 0.0)
    assert seen.look_again(active, 2.0).seconds_since_cancel == 2.0


def test_an_unresponsive_child_is_killed_and_its_run_cancelled(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr("workers.watchdog.os.kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(watchdog, "UNRESPONSIVE_SECONDS", -1.0)
    own = watchdog.Watchdog(2.0)
    own.kill_unresponsive_children(harness.db, "host:1:")
    assert killed == []
    with harness.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    own.kill_unresponsive_children(harness.db, "other:")
    assert killed == []
    own.kill_unresponsive_children(harness.db, "host:1:")
    assert killed == [2]
    assert harness.run(claim.run_id).status == "cancelled"
    assert list_running(harness.db, "host:1:") == []
