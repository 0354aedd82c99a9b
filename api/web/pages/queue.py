"""The page `/machines`: the workers, and the runs in the order of the queue."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.http.request_work import Router
from api.web.templating import render
from schemas.resources import Run
from schemas.status import RunStatus
from storage.experiments import find
from storage.experiments.queue import read_queue
from storage.runs import resources as run_resources
from storage.runs.workers import list_workers

router = Router(include_in_schema=False)

MAX_RUNS_SHOWN = 200
REFRESH_MS = 3000
MOST_APART = 3
"""Runs of one experiment that wait one after the other and have a row each; more share one"""


@router.get("/machines")
def show_queue(request: Request, state: StateDep) -> Response:
    """Running and queued runs, and all workers of the last day."""
    with state.db.read() as session:
        queue = read_queue(session, limit_per_owner=state.settings.limit_running_per_owner)
        workers = list_workers(session)
        rows = run_resources.list_active_runs(session, limit=MAX_RUNS_SHOWN + 1)
        runs = run_resources.run_resources(session, rows[:MAX_RUNS_SHOWN])
        experiments = {
            one: find.get_experiment(session, one) for one in {run.experiment_id for run in runs}
        }
    return render(
        request,
        "queue.html",
        queue=queue,
        workers=workers,
        groups=[(experiments[group[0].experiment_id], group) for group in _group(runs)],
        num_shown=len(runs),
        may_cordon=state.sees_all,
        has_more_runs=len(rows) > MAX_RUNS_SHOWN,
        refresh_ms=REFRESH_MS,
    )


def _group(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs of each row: many that wait one after the other share one, others stand alone."""
    groups: list[list[Run]] = []
    for waits_for, found in groupby(runs, _waits_for):
        neighbours = list(found)
        if waits_for is not None and len(neighbours) > MOST_APART:
            groups.append(neighbours)
        else:
            groups += [[run] for run in neighbours]
    return groups


def _waits_for(run: Run) -> str | None:
    """The experiment of a run that nothing has been computed of yet."""
    is_untouched = run.status == RunStatus.QUEUED and run.progress.fraction == 0
    return run.experiment_id if is_untouched else None
