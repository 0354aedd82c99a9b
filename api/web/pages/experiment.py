"""The page `/view/{experiment_id}`: one experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from api.dependencies import State, StateDep
from api.experiments.answer_tables import AtQuery, answer_table, epoch_table
from api.experiments.body import submission_body
from api.experiments.drawing_limits import MAX_DRAWN_POINTS
from api.http.request_work import Router
from api.web.code_snippets import submission_snippets
from api.web.cost_cards import cost_cards
from api.web.curve_series import curve_series
from api.web.formatting import format_bytes, title_of
from api.web.result_tables import result_table, run_row
from api.web.templating import render
from engine.answer_table import AnswerTable
from engine.epoch_answers import read_at
from engine.experiments.registry import get_kind
from engine.kind import PlotInfo
from engine.point_choice import MAX_CHOSEN, choose_few
from engine.sweep_plots import MAX_QUANTITIES, find_quantity, list_quantities, place_results
from schemas.events import EventName
from schemas.resources import MAX_NOTES, Experiment, Run
from schemas.seed_plan import PlanEnd
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow
from storage.errors import UnreadableRow
from storage.experiments import find
from storage.experiments.points import point_values
from storage.experiments.resources import to_resource
from storage.files import artifacts
from storage.results import events
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs import resources as run_resources

router = Router(include_in_schema=False)

MAX_RUNS_SHOWN = 200
"""Runs whose times and attempts are summed."""
RUNS_OF_A_PAGE = 50
MANY_POINTS = 12
"""Of more points the table is ranked, and details are folded."""
ROWS_SHOWN = 20
"""Of the table of results, at first."""
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
    "Paper",
    "Curves",
    "Plots",
    "Cost",
    "Downloads",
    "Runs",
    "Specification",
    "Events",
)


@router.get("/view/{experiment_id}")
def show_experiment(
    request: Request,
    state: StateDep,
    experiment_id: str,
    at: AtQuery = None,
    quantity: Annotated[str | None, Query(max_length=100)] = None,
    rows: Literal["first", "all"] = "first",
    runs_after: Annotated[str | None, Query(max_length=200)] = None,
    point: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """Progress, result, plots, comparison with the paper, curves, cost, files, runs and events.

    Of many points the parts after the comparison are folded. quantity: what the plots of the sweep
    show. point: the index of the only point whose runs are listed.
    """
    with state.db.read() as session:
        row = find.get_experiment(session, experiment_id)
        experiment = to_resource(
            session, row, limit_per_owner=state.settings.limit_running_per_owner
        )
        run_rows, _ = run_resources.list_runs(session, experiment_id, limit=MAX_RUNS_SHOWN)
        runs = run_resources.run_resources(session, run_rows)
        page_rows, next_runs = run_resources.list_runs(
            session, experiment_id, limit=RUNS_OF_A_PAGE, cursor=runs_after, point=point
        )
        runs_shown = run_resources.run_resources(session, page_rows)
        newest = events.newest_events(
            session, experiment_id, MAX_EVENTS_SHOWN, EventName.RUN_PROGRESS
        )
        files = artifacts.list_experiment_files(session, experiment_id, limit=MAX_FILES_SHOWN + 1)
        num_bytes = artifacts.count_experiment_bytes(session, experiment_id)
        series = curve_series(session, experiment, "")
        values = point_values(session, experiment_id)
    summary, damage = _read_summary(state, row, runs)
    table = None if not summary else _answers_of(state, experiment, summary, at)
    is_large = experiment.num_points > MANY_POINTS
    if table is not None and is_large:
        table = table.rank()
    plots = _list_plots(state, experiment)
    if is_large and table is not None and summary is not None:
        series |= _choose_lines(experiment, summary, values)
    labels = dict(zip(map(repr, values), series["points"], strict=True))
    quantities = [] if table is None else [*table.columns][:MAX_QUANTITIES]
    body = submission_body(experiment, omit_defaults=True)
    return render(
        request,
        "experiment.html",
        experiment=experiment,
        kind=get_kind(experiment.kind),
        spec=json.dumps(experiment.spec, indent=2),
        snippets=submission_snippets(body, str(request.base_url).rstrip("/")),
        series=series,
        table=None if table is None or not table.rows else result_table(table, values),
        at=at,
        is_large=is_large,
        plots=plots,
        answer_plot=_find_answer(plots, experiment.num_points),
        quantities=quantities,
        quantity=quantity if any(one.name == quantity for one in quantities) else None,
        rows_shown=ROWS_SHOWN,
        all_rows=rows == "all",
        runs=[run_row(run, labels.get(repr(run.point.values))) for run in runs_shown],
        runs_after=runs_after,
        next_runs=next_runs,
        point=point,
        point_name=series["points"][point] if point in range(len(values)) else "",
        max_chosen=MAX_CHOSEN,
        cost=cost_cards(experiment, runs, summary, num_bytes),
        files=[
            _file_row(file, labels.get(repr(of_point)))
            for file, of_point in files[:MAX_FILES_SHOWN]
        ],
        has_more_files=len(files) > MAX_FILES_SHOWN,
        events=newest,
        last_event=row.last_event,
        damage=damage,
        event_names=[str(name) for name in EventName],
        plan_ends=PLAN_ENDS,
        sections=SECTIONS,
        max_drawn_points=MAX_DRAWN_POINTS,
        max_notes=MAX_NOTES,
    )


def _find_answer(plots: Sequence[PlotInfo], num_points: int) -> PlotInfo | None:
    """The plot that the page begins with; None where it would leave out some of the points."""
    for plot in plots:
        if plot.is_answer and (plot.most_points is None or num_points <= plot.most_points):
            return plot
    return None


def _list_plots(state: State, experiment: Experiment) -> list[PlotInfo]:
    """The plots that show something of the experiment; all of them where its data are damaged."""
    plots = get_kind(experiment.kind).plots
    try:
        source = StoredPlotInput(state.db, state.blobs, experiment.id)
        return [plot for plot in plots if plot.explain_absence(source) is None]
    except UnreadableRow:
        return [plot for plot in plots if plot.find_obstacle is None]


def _answers_of(
    state: State, experiment: Experiment, summary: Mapping[str, Any], at: str | None
) -> AnswerTable:
    if at is not None:
        source = StoredPlotInput(state.db, state.blobs, experiment.id)
        return epoch_table(source, title_of(experiment), read_at(at))
    kind, complete = get_kind(experiment.kind), experiment.terminal
    return answer_table(kind, title_of(experiment), summary["points"], complete=complete)


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


def _choose_lines(
    experiment: Experiment, summary: Mapping[str, Any], values: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The points whose curves are shown first, and how they were chosen; nothing without an answer.

    values: of every point.
    """
    kind, results = get_kind(experiment.kind), summary["points"]
    answers = [kind.read_answer(result) for result in results]
    column = find_quantity(list_quantities(answers), None)
    if column is None:
        return {}
    scores: list[float | None] = [None] * len(values)
    for place, answer in zip(place_results(values, results), answers, strict=True):
        found = next((one.statistic for one in answer if one.name == column.name), None)
        scores[place] = None if found is None else found.mean
    chosen = choose_few(scores, column.better)
    return {"chosen": list(chosen.places), "reason": f"{chosen.reason} by {column.title}"}


def _file_row(file: Any, point: str | None) -> dict[str, Any]:
    """The cells of a stored file's row. point: the name of its point."""
    return {
        "id": file.id,
        "name": artifacts.file_name(file),
        "point": point or "–",
        "seed": "–" if file.seed is None else file.seed,
        "size": format_bytes(file.num_bytes),
        "sha256": file.sha256,
    }
