"""The page `/view/{experiment_id}`: one experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import State, StateDep
from api.experiments.body import submission_body
from api.experiments.drawing_limits import MAX_DRAWN_POINTS
from api.http.request_work import Router
from api.web.code_snippets import submission_snippets
from api.web.cost_cards import cost_cards
from api.web.curve_series import curve_series
from api.web.formatting import format_bytes, format_point
from api.web.result_tables import result_table, run_row
from api.web.templating import render
from engine.experiments.registry import get_kind
from schemas.events import EventName
from schemas.resources import Run
from schemas.seed_plan import PlanEnd
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow
from storage.errors import UnreadableRow
from storage.experiments import find
from storage.experiments.resources import to_resource
from storage.files import artifacts
from storage.results import events
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs import resources as run_resources

router = Router(include_in_schema=False)

MAX_RUNS_SHOWN = 200
MAX_FILES_SHOWN = 100
MAX_EVENTS_SHOWN = 200
PLAN_ENDS = {
    PlanEnd.DECIDED: "every verdict is decided",
    PlanEnd.UNDECIDABLE: "no number of seeds decides the verdicts that are open",
    PlanEnd.AT_MOST: "it has the most seeds of its plan",
    PlanEnd.MAX_SECONDS: "its runs would compute for longer than max_seconds",
    PlanEnd.FILES_DELETED: "a data set or a checkpoint that it needs was deleted",
    PlanEnd.CANCELLED: "it was cancelled",
}
"""Why no more seeds are added."""
SECTIONS = (
    "Result",
    "Curves",
    "Plots",
    "Paper",
    "Cost",
    "Downloads",
    "Runs",
    "Specification",
    "Events",
)


@router.get("/view/{experiment_id}")
def show_experiment(request: Request, state: StateDep, experiment_id: str) -> Response:
    """Progress, result, curves, plots, comparison with the paper, cost, files, runs and events."""
    with state.db.read() as session:
        row = find.get_experiment(session, experiment_id)
        experiment = to_resource(
            session, row, limit_per_owner=state.settings.limit_running_per_owner
        )
        run_rows, next_cursor = run_resources.list_runs(
            session, experiment_id, limit=MAX_RUNS_SHOWN
        )
        runs = run_resources.run_resources(session, run_rows)
        newest = events.newest_events(
            session, experiment_id, MAX_EVENTS_SHOWN, EventName.RUN_PROGRESS
        )
        files = artifacts.list_experiment_files(session, experiment_id, limit=MAX_FILES_SHOWN + 1)
        num_bytes = artifacts.count_experiment_bytes(session, experiment_id)
        series = curve_series(session, experiment, "")
    summary, damage = _read_summary(state, row, runs)
    body = submission_body(experiment, omit_defaults=True)
    return render(
        request,
        "experiment.html",
        experiment=experiment,
        kind=get_kind(experiment.kind),
        spec=json.dumps(experiment.spec, indent=2),
        snippets=submission_snippets(body, str(request.base_url).rstrip("/")),
        series=series,
        table=result_table(summary["points"]) if summary else None,
        runs=[run_row(run) for run in runs],
        has_more_runs=next_cursor is not None,
        cost=cost_cards(experiment, runs, summary, num_bytes),
        files=[_file_row(file, values) for file, values in files[:MAX_FILES_SHOWN]],
        has_more_files=len(files) > MAX_FILES_SHOWN,
        events=newest,
        last_event=row.last_event,
        damage=damage,
        event_names=[str(name) for name in EventName],
        plan_ends=PLAN_ENDS,
        sections=SECTIONS,
        max_drawn_points=MAX_DRAWN_POINTS,
    )


def _read_summary(
    state: State, row: ExperimentRow, runs: Sequence[Run]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """(summary, damage): the summary of the runs so far, or the reason why it is unreadable."""
    try:
        if row.summary is None and any(run.status == RunStatus.SUCCEEDED for run in runs):
            return summarize_experiment(StoredPlotInput(state.db, state.blobs, row.id)), None
        return row.summary, None
    except UnreadableRow as error:
        return None, str(error)


def _file_row(file: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a stored file's row. values: the swept values of its point."""
    return {
        "id": file.id,
        "name": artifacts.file_name(file),
        "point": format_point(values) or "–",
        "seed": "–" if file.seed is None else file.seed,
        "size": format_bytes(file.num_bytes),
        "sha256": file.sha256,
    }
