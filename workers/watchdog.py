"""Kills unresponsive children: a step that hangs obeys no cancel request and no time limit."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from engine.durations import format_seconds
from schemas.status import FailureReason
from storage.database.engine import Database
from storage.runs.running import RunningRun, is_stalled, list_running
from storage.runs.transitions import cancel_run, fail_run

UNRESPONSIVE_SECONDS = 30.0
"""How long a child may take to obey a cancel request or its time limit."""
MAX_DELAY_SECONDS = 10.0
"""How much later than planned a pass counts in full: after a longer delay this process was paused,
and its children probably too"""

log = logging.getLogger("richregime.worker")


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A running run, and what the watchdog has measured with its own clock."""

    run: RunningRun
    computed_seconds: float
    """Over all attempts"""
    silent_seconds: float = 0.0
    """Since the last activity of the run"""
    seconds_since_cancel: float = 0.0
    """Since its cancel request was first seen"""

    def look_again(self, run: RunningRun, passed: float) -> WatchedRun:
        """As seen `passed` seconds later."""
        is_silent = run.progress_at == self.run.progress_at
        return WatchedRun(
            run,
            max(run.elapsed_seconds, self.computed_seconds + passed),
            self.silent_seconds + passed if is_silent else 0.0,
            self.seconds_since_cancel + passed if self.run.is_cancel_requested else 0.0,
        )


class Watchdog:
    """Looks at the runs of a parent's children in regular passes.

    It measures no time with the wall clock, which may jump. pass_seconds: between two passes.
    own_clock: for tests.
    """

    def __init__(
        self, pass_seconds: float, own_clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own_clock, self._longest_pass = own_clock, pass_seconds + MAX_DELAY_SECONDS
        self._looked_at = own_clock()
        self._watched: dict[tuple[str, int], WatchedRun] = {}

    def kill_unresponsive_children(self, db: Database, prefix: str) -> None:
        """Kill the processes that should have stopped, and end their runs.

        prefix: of the names of the workers to check.
        """
        for watched in self._look(list_running(db, prefix)):
            end = forced_ending(watched)
            if end is None:
                continue
            child = int(watched.run.worker.rpartition(":")[2])
            log.warning(
                "run %s: process %d does not respond and is killed", watched.run.run_id, child
            )
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            end(db)

    def _look(self, running: list[RunningRun]) -> list[WatchedRun]:
        now = self._own_clock()
        passed = min(now - self._looked_at, self._longest_pass)
        self._looked_at = now
        before, self._watched = self._watched, {}
        for run in running:
            attempt = (run.run_id, run.fence)
            known = before.get(attempt)
            self._watched[attempt] = (
                WatchedRun(run, run.elapsed_seconds)
                if known is None
                else known.look_again(run, passed)
            )
        return list(self._watched.values())


def forced_ending(watched: WatchedRun) -> Callable[[Database], None] | None:
    """The function that ends the run after its process is killed; None if the run may go on."""
    run = watched.run
    if run.is_cancel_requested:
        return _cancel(watched) if watched.seconds_since_cancel > UNRESPONSIVE_SECONDS else None
    if (
        run.max_seconds is not None
        and watched.computed_seconds > run.max_seconds + UNRESPONSIVE_SECONDS
    ):
        limit = format_seconds(run.max_seconds)
        detail = f"the run has computed for longer than {limit}, its max_seconds"
        return _fail(watched, FailureReason.TIMEOUT, detail)
    if is_stalled(watched.silent_seconds, run.step_seconds):
        detail = f"no step for {format_seconds(watched.silent_seconds)}"
        return _fail(watched, FailureReason.STALLED, detail)
    return None


def _cancel(watched: WatchedRun) -> Callable[[Database], None]:
    def end(db: Database) -> None:
        with db.write() as session:
            cancel_run(session, watched.run.run_id, watched.run.fence, watched.computed_seconds)

    return end


def _fail(watched: WatchedRun, reason: FailureReason, detail: str) -> Callable[[Database], None]:
    def end(db: Database) -> None:
        with db.write() as session:
            fail_run(
                session,
                watched.run.run_id,
                watched.run.fence,
                reason,
                detail,
                elapsed_seconds=watched.computed_seconds,
            )

    return end
