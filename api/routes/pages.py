"""The web page: the list of experiments with a box to submit one, and a page for each experiment."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from api.paging import CursorQuery
from api.problems import ProblemRaised
from api.services.result_tables import describe_run, result_table, show_seconds
from api.state import StateDep
from engine.experiments.registry import get_kind, kinds, presets
from schemas.events import EventName
from schemas.problems import ProblemCode
from storage import events, experiments, run_resources

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
PAGE = 25
MAX_RUNS_SHOWN = 200
MAX_EVENTS_SHOWN = 100
LIVE_METRICS = ("test_accuracy", "train_loss")

templates = Jinja2Templates(directory=WEB / "templates")
templates.env.filters["seconds"] = show_seconds


def mount_assets(app: FastAPI) -> None:
    """Serve the page's own files, and plotly from its wheel: nothing comes from another machine."""
    app.mount("/assets", StaticFiles(directory=WEB / "assets"), name="assets")


@router.get("/", response_class=HTMLResponse)
def show_experiments(request: Request, state: StateDep, cursor: CursorQuery = None) -> Response:
    """Newest experiments, and a box with an example of each kind."""
    with state.db.read() as session:
        rows, following = experiments.list_experiments(session, limit=PAGE, cursor=cursor)
        found = experiments.to_resources(session, rows)
        queue = run_resources.queue_state(session)
    examples = {f"{kind.title} (example)": dict(kind.example) for kind in kinds().values()}
    examples |= {f"{preset.title} ({preset.scale})": dict(preset.body) for preset in presets().values()}
    context = {
        "experiments": found,
        "next_cursor": following,
        "queue": queue,
        "examples": {name: json.dumps(body, indent=2) for name, body in examples.items()},
    }
    return templates.TemplateResponse(request, "experiments.html", context)


@router.get("/view/{experiment_id}", response_class=HTMLResponse)
def show_experiment(request: Request, state: StateDep, experiment_id: str) -> Response:
    """One experiment: progress while it runs, then its table and plots."""
    with state.db.read() as session:
        row = experiments.get_experiment(session, experiment_id)
        experiment = experiments.to_resource(session, row)
        runs, more = run_resources.list_runs(session, experiment_id, limit=MAX_RUNS_SHOWN)
        run_list = run_resources.run_resources(session, runs)
        log = events.list_events(
            session, experiment_id, max(0, row.last_event - MAX_EVENTS_SHOWN), MAX_EVENTS_SHOWN
        )
        summary = row.summary
    kind = get_kind(experiment.kind)
    context = {
        "experiment": experiment,
        "kind": kind,
        "spec": json.dumps(experiment.spec, indent=2),
        "table": result_table(summary["points"]) if summary else None,
        "runs": [describe_run(run) for run in run_list],
        "more_runs": more is not None,
        "events": log[::-1],
        "last_event": row.last_event,
        "event_names": [str(name) for name in EventName],
        "live_metrics": LIVE_METRICS,
    }
    return templates.TemplateResponse(request, "experiment.html", context)


@router.get("/plotly.min.js")
def read_plotly() -> FileResponse:
    """plotly as its wheel ships it; the package itself is not imported."""
    package = find_spec("plotly")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return FileResponse(
                path, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"}
            )
    raise ProblemRaised(404, ProblemCode.NOT_FOUND, "plotly is not installed; live curves are not drawn")
