"""Ends children that hear nothing: a step that hangs answers no cancel request, no time limit, no drain."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from schemas.status import FailureReason
from storage.database.engine import Database
from storage.runs.running import RunningRun, is_stalled, list_running
from storage.runs.transitions import cancel_run, fail_run

DEAF_SECONDS = 30.0
"""How long a child may take to hear of a cancel request or the end of its time."""

log = logging.getLogger("richregime.worker")


def stop_deaf_children(db: Database, prefix: str) -> None:
    """Kill the processes, among the workers whose names begin with `prefix`, that ought to have stopped; end their runs."""
    for run in list_running(db, prefix):
        end = decide(run)
        if end is None:
            continue
        child = int(run.worker.rpartition(":")[2])
        log.warning("run %s: the process %d does not hear, and is killed", run.run_id, child)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        end(db)


def decide(run: RunningRun) -> Callable[[Database], None] | None:
    """How the run must be ended by force, or None where it may go on."""
    if run.seconds_since_cancel is not None:
        return _cancel(run) if run.seconds_since_cancel > DEAF_SECONDS else None
    if run.max_seconds is not None and run.computed_seconds > run.max_seconds + DEAF_SECONDS:
        detail = f"the run has computed for longer than its max_seconds of {run.max_seconds}"
        return _fail(run, FailureReason.TIMEOUT, detail)
    if is_stalled(run.silent_seconds, run.step_seconds):
        return _fail(run, FailureReason.STALLED, f"no step for {run.silent_seconds:.0f} s")
    return None


def _cancel(run: RunningRun) -> Callable[[Database], None]:
    def end(db: Database) -> None:
        with db.write() as session:
            cancel_run(session, run.run_id, run.fence)

    return end


def _fail(run: RunningRun, reason: FailureReason, detail: str) -> Callable[[Database], None]:
    def end(db: Database) -> None:
        with db.write() as session:
            fail_run(session, run.run_id, run.fence, reason, detail)

    return end
