"""The page `/machines`: the workers, and the runs in the order of the queue."""

from __future__ import annotations

from collections.abc import Sequence

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
"""Queued runs of one experiment, one after the other, that have a row each; more share one"""


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
        most_apart=MOST_APART,
        may_cordon=state.sees_all,
        has_more_runs=len(rows) > MAX_RUNS_SHOWN,
        refresh_ms=REFRESH_MS,
    )


def _group(runs: Sequence[Run]) -> list[list[Run]]:
    """Neighbours of one experiment that are queued stay together; other runs stand alone."""
    groups: list[list[Run]] = []
    for run in runs:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and last.experiment_id == run.experiment_id
            and last.status == run.status == RunStatus.QUEUED
        ):
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups
