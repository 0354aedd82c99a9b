"""The page `/view/runs/{run_id}`: one run."""

from __future__ import annotations

import json

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.http.request_work import Router
from api.web.curve_series import run_series
from api.web.run_tables import attempt_rows, file_rows, manifest_rows, seed_rows, timing_rows
from api.web.templating import render
from schemas.events import EventName
from storage.database.tables import PointRow
from storage.experiments import find
from storage.experiments.resources import to_resource
from storage.files import artifacts
from storage.results import events
from storage.runs import resources as run_resources

router = Router(include_in_schema=False)

MAX_EVENTS_SHOWN = 200


@router.get("/view/runs/{run_id}")
def show_run(request: Request, state: StateDep, run_id: str) -> Response:
    """Experiment, point, seeds, attempts, times, curves, files, manifest and events of one run."""
    with state.db.read() as session:
        row = run_resources.get_run(session, run_id)
        experiment = to_resource(session, find.get_experiment(session, row.experiment_id))
        run = run_resources.run_resources(session, [row])[0]
        point = session.get_one(PointRow, row.point_id)
        results = row.readable("result") or []
        files = artifacts.list_run_files(session, run_id)
        series = run_series(session, run)
        newest = events.newest_events(
            session, row.experiment_id, MAX_EVENTS_SHOWN, EventName.RUN_PROGRESS, run_id=run_id
        )
    return render(
        request,
        "run.html",
        run=run,
        experiment=experiment,
        point=series["points"][run.point.index],
        series=series,
        attempts=attempt_rows(newest),
        seeds=seed_rows(results),
        timings=timing_rows(results),
        files=file_rows(files),
        manifest=manifest_rows(run.manifest or {}),
        spec=json.dumps(point.readable("spec"), indent=2),
        events=newest,
    )
