"""The web pages: experiments, one experiment, several side by side, a new one, the queue and the workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from api.dependencies import State, StateDep
from api.experiments import side_by_side
from api.experiments.body import submission_body
from api.experiments.side_by_side import MAX_COMPARED
from api.http.paging import ContainingQuery, CursorQuery, LabelQuery, parse_label
from api.http.problems import ProblemRaised
from api.web.code_snippets import submissions_in_words, write_body
from api.web.cost_cards import cost_cards
from api.web.result_tables import describe_run, result_table
from api.web.side_by_side import metric_rows, spec_rows
from api.web.templating import WEB, render, show_bytes
from api.web.wording import show_point
from engine.experiments.registry import get_kind, kinds, presets
from engine.kind import Preset
from schemas.events import EventName
from schemas.problems import ProblemCode
from schemas.resources import Experiment, Run
from schemas.status import ExperimentStatus
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.errors import UnreadableRow
from storage.experiments import find
from storage.experiments.points import point_values
from storage.experiments.resources import to_resource, to_resources
from storage.files import artifacts
from storage.results import events
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs import resources as run_resources
from storage.runs.workers import list_workers

router = APIRouter(include_in_schema=False)

PAGE = 25
MAX_RUNS_SHOWN = 200
MAX_FILES_SHOWN = 100
MAX_EVENTS_SHOWN = 200
LOOK_EVERY_MS = 3000
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
LETTERS = "ABCDEFGH"
FormEntry = tuple[str, str, str, str]
"""(key, title, body, what it is about)"""

KindFilter = Annotated[str | None, Query(max_length=64)]
StatusFilter = Annotated[str | None, Query(max_length=32)]
Ids = Annotated[list[str] | None, Query(max_length=MAX_COMPARED)]


def mount_assets(app: FastAPI) -> None:
    """Serve the pages' own files, and plotly from its wheel: nothing comes from another machine."""
    app.mount("/assets", StaticFiles(directory=WEB / "assets"), name="assets")


@router.get("/docs")
def show_swagger(request: Request) -> Response:
    """Every call of the API, to be tried out."""
    return render(request, "swagger.html")


@router.get("/")
def show_experiments(
    request: Request,
    state: StateDep,
    cursor: CursorQuery = None,
    q: ContainingQuery = None,
    kind: KindFilter = None,
    status: StatusFilter = None,
    label: LabelQuery = None,
) -> Response:
    """Newest experiments, filtered."""
    chosen = {
        name: value
        for name, value in {"q": q, "kind": kind, "status": status, "label": label}.items()
        if value
    }
    with state.db.read() as session:
        rows, following = find.list_experiments(
            session,
            limit=PAGE,
            cursor=cursor,
            kind=chosen.get("kind"),
            status=_read_status(chosen.get("status")),
            label=parse_label(chosen.get("label")),
            containing=chosen.get("q"),
        )
        found = to_resources(session, rows, limit_per_owner=state.settings.limit_running_per_owner)
        queue = run_resources.queue_state(session)
    return render(
        request,
        "experiments.html",
        experiments=found,
        older=f"/?{urlencode({**chosen, 'cursor': following})}",
        next_cursor=following,
        queue=queue,
        kinds=kinds(),
        statuses=[str(name) for name in ExperimentStatus],
        filters=chosen,
        is_filtered=bool(chosen),
        live_every=LOOK_EVERY_MS,
    )


def _read_status(text: str | None) -> ExperimentStatus | None:
    if text is None or text not in list(ExperimentStatus):
        return None
    return ExperimentStatus(text)


@router.get("/view/{experiment_id}")
def show_experiment(request: Request, state: StateDep, experiment_id: str) -> Response:
    """One experiment: progress and curves while it runs, then its table, plots, comparison, cost and files."""
    with state.db.read() as session:
        row = find.get_experiment(session, experiment_id)
        experiment = to_resource(
            session, row, limit_per_owner=state.settings.limit_running_per_owner
        )
        runs, more = run_resources.list_runs(session, experiment_id, limit=MAX_RUNS_SHOWN)
        run_list = run_resources.run_resources(session, runs)
        log = events.newest_events(session, experiment_id, MAX_EVENTS_SHOWN, EventName.RUN_PROGRESS)
        files = artifacts.list_experiment_files(session, experiment_id, limit=MAX_FILES_SHOWN + 1)
        num_bytes = artifacts.count_experiment_bytes(session, experiment_id)
        series = _series_of(session, experiment, "")
    summary, damage = _read_summary(state, row, run_list)
    return render(
        request,
        "experiment.html",
        experiment=experiment,
        kind=get_kind(experiment.kind),
        spec=json.dumps(experiment.spec, indent=2),
        again=submissions_in_words(submission_body(experiment, omit_defaults=True), str(request.base_url).rstrip("/")),
        series=series,
        table=result_table(summary["points"]) if summary else None,
        runs=[describe_run(run) for run in run_list],
        more_runs=more is not None,
        cost=cost_cards(experiment, run_list, summary, num_bytes),
        files=[_describe_file(file, values) for file, values in files[:MAX_FILES_SHOWN]],
        more_files=len(files) > MAX_FILES_SHOWN,
        events=log,
        last_event=row.last_event,
        damage=damage,
        event_names=[str(name) for name in EventName],
        sections=SECTIONS,
    )


def _read_summary(
    state: State, row: ExperimentRow, runs: Sequence[Run]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """The summary, so far while it is under way, or what damage keeps it from being made."""
    try:
        if row.summary is None and any(run.status == "succeeded" for run in runs):
            return summarize_experiment(StoredPlotInput(state.db, state.blobs, row.id)), None
        return row.summary, None
    except UnreadableRow as error:
        return None, str(error)


def _describe_file(file: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": artifacts.file_name(file),
        "point": show_point(values) or "–",
        "seed": "–" if file.seed is None else file.seed,
        "size": show_bytes(file.num_bytes),
        "sha256": file.sha256,
    }


def _series_of(session: Session, experiment: Experiment, name: str) -> dict[str, Any]:
    """What the curves' script needs to name an experiment's lines."""
    values = point_values(session, experiment.id)
    return {"id": experiment.id, "name": name, "points": [show_point(one) for one in values]}


@router.get("/compare")
def compare_experiments(
    request: Request,
    state: StateDep,
    id: Ids = None,
    quantity: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Several experiments: what was asked differently, what came out differently, their curves over one another."""
    ids = list(dict.fromkeys(id or ()))
    with state.db.read() as session:
        comparison = side_by_side.compare_experiments(session, ids)
        found = to_resources(session, [find.get_experiment(session, one) for one in ids])
        newest, _ = find.list_experiments(session, limit=100)
        others = [one for one in to_resources(session, newest) if one.id not in ids]
        series = [
            _series_of(session, one, letter) for letter, one in zip(LETTERS, found, strict=False)
        ]
    quantities = comparison.quantities
    chosen = quantity if quantity in quantities else next(iter(quantities), None)
    return render(
        request,
        "compare.html",
        experiments=found,
        others=_by_kind(others, [one.kind for one in found]) if len(ids) < MAX_COMPARED else [],
        letters=LETTERS,
        without=[_compare_address([other for other in ids if other != one]) for one in ids],
        spec_rows=spec_rows(comparison),
        quantities=quantities,
        quantity=chosen,
        metric_rows=metric_rows(comparison, chosen) if chosen else [],
        series=series,
    )


def _by_kind(
    offered: Sequence[Experiment], first: Sequence[str]
) -> list[tuple[str, list[Experiment]]]:
    """Under the titles of their kinds; those of the kinds that are compared already come first."""
    names = sorted({one.kind for one in offered}, key=lambda name: (name not in first, name))
    return [(get_kind(name).title, [one for one in offered if one.kind == name]) for name in names]


def _compare_address(ids: Sequence[str]) -> str:
    return f"/compare?{urlencode({'id': ids}, doseq=True)}"


@router.get("/submit")
def show_form(
    request: Request,
    state: StateDep,
    preset: Annotated[str | None, Query(max_length=100)] = None,
    scale: Annotated[str, Query(max_length=20)] = "quick",
    kind: KindFilter = None,
    source: Annotated[str | None, Query(alias="from", max_length=80)] = None,
) -> Response:
    """The form of a new experiment, filled from a kind's example, a preset or an earlier experiment."""
    groups: dict[str, list[FormEntry]] = {}
    chosen = f"kind:{kind}" if kind else f"preset:{preset}:{scale}" if preset else ""
    if source is not None:
        with state.db.read() as session:
            earlier = to_resource(session, find.get_experiment(session, source))
        groups["An earlier experiment"] = [
            (f"from:{source}", earlier.name or source, write_body(submission_body(earlier, omit_defaults=True)), "")
        ]
        chosen = f"from:{source}"
    groups["Examples, seconds to a minute"] = [
        (f"kind:{one.name}", one.title, write_body(one.example), one.description)
        for one in kinds().values()
    ]
    for its_scale in ("quick", "paper"):
        entries = [
            (
                f"preset:{one.name}:{one.scale}",
                f"{one.name}: {one.title}",
                write_body(one.body),
                _tell_about(one),
            )
            for one in presets().values()
            if one.scale == its_scale
        ]
        if entries:
            groups[f"Presets, {its_scale} scale"] = entries
    return render(request, "submit.html", examples=groups, chosen=chosen)


def _tell_about(preset: Preset) -> str:
    departures = (
        f" Departs from the paper: {'; '.join(preset.deviations)}." if preset.deviations else ""
    )
    return f"{preset.description}{departures}"


@router.get("/machines")
def show_machines(request: Request, state: StateDep) -> Response:
    """What runs and waits, in order, and who works."""
    with state.db.read() as session:
        queue = run_resources.queue_state(session)
        workers = list_workers(session)
        rows = run_resources.list_active_runs(session, limit=MAX_RUNS_SHOWN)
        runs = run_resources.run_resources(session, rows)
        owners = {
            one: find.get_experiment(session, one) for one in {run.experiment_id for run in runs}
        }
    return render(
        request,
        "machines.html",
        queue=queue,
        workers=workers,
        runs=[(run, owners[run.experiment_id]) for run in runs],
        live_every=LOOK_EVERY_MS,
    )


@router.get("/plotly.min.js")
def read_plotly() -> FileResponse:
    """plotly as its wheel ships it; the package itself is not imported."""
    package = find_spec("plotly")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return FileResponse(
                path,
                media_type="text/javascript",
                headers={"Cache-Control": "public, max-age=86400"},
            )
    raise ProblemRaised(
        404, ProblemCode.NOT_FOUND, "plotly is not installed; live curves are not drawn"
    )
