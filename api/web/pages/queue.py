"""The page `/machines`: the workers, and the runs in the order of the queue."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.http.request_work import Router
from api.web.templating import render
from storage.experiments import find
from storage.runs import resources as run_resources
from storage.runs.workers import list_workers

router = Router(include_in_schema=False)

MAX_RUNS_SHOWN = 200
REFRESH_MS = 3000


@router.get("/machines")
def show_queue(request: Request, state: StateDep) -> Response:
    """Running and queued runs, and all workers of the last day."""
    with state.db.read() as session:
        queue = run_resources.queue_state(session)
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
        runs=[(run, experiments[run.experiment_id]) for run in runs],
        has_more_runs=len(rows) > MAX_RUNS_SHOWN,
        refresh_ms=REFRESH_MS,
    )
