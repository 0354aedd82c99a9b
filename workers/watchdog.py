"""Kills unresponsive children: a step that hangs obeys no cancel request and no time limit."""

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

UNRESPONSIVE_SECONDS = 30.0
"""How long a child may take to obey a cancel request or its time limit."""

log = logging.getLogger("richregime.worker")


def kill_unresponsive_children(db: Database, prefix: str) -> None:
    """Kill the processes that should have stopped, and end their runs.

    prefix: of the names of the workers to check.
    """
    for run in list_running(db, prefix):
        end = forced_ending(run)
        if end is None:
            continue
        child = int(run.worker.rpartition(":")[2])
        log.warning("run %s: process %d does not respond and is killed", run.run_id, child)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        end(db)


def forced_ending(run: RunningRun) -> Callable[[Database], None] | None:
    """The function that ends the run after its process is killed; None if the run may go on."""
    if run.seconds_since_cancel is not None:
        return _cancel(run) if run.seconds_since_cancel > UNRESPONSIVE_SECONDS else None
    if (
        run.max_seconds is not None
        and run.computed_seconds > run.max_seconds + UNRESPONSIVE_SECONDS
    ):
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
