"""Plots, drawn on request from stored results, also while the experiment is under way."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from api.problems import ProblemRaised
from api.state import StateDep
from engine.experiments.registry import get_kind
from engine.kind import PlotInfo
from engine.spec import canonical_json
from schemas.base import Page, Resource
from schemas.problems import ProblemCode
from storage.experiments import get_experiment
from storage.results import StoredPlotInput

router = APIRouter(tags=["plots"])

MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "json": "application/json",
}
Inches = Annotated[float | None, Query(ge=2, le=20, description="Inches.")]
Scale = Literal["linear", "log"]


class Plot(Resource):
    name: str
    title: str
    description: str
    links: dict[str, str]


@router.get("/experiments/{experiment_id}/plots")
def list_plots(experiment_id: str, state: StateDep) -> Page[Plot]:
    """The plots this experiment's kind can draw."""
    with state.db.read() as session:
        kind = get_kind(get_experiment(session, experiment_id).kind)
    return Page[Plot](items=[_describe(experiment_id, plot) for plot in kind.plots])


def _describe(experiment_id: str, plot: PlotInfo) -> Plot:
    base = f"/experiments/{experiment_id}/plots/{plot.name}"
    return Plot(
        name=plot.name,
        title=plot.title,
        description=plot.description,
        links={ending: f"{base}.{ending}" for ending in MEDIA_TYPES},
    )


@router.get(
    "/experiments/{experiment_id}/plots/{name}.{ending}",
    response_class=Response,
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}},
        304: {"description": "Unchanged"},
    },
)
def draw_plot(
    experiment_id: str,
    name: str,
    ending: str,
    state: StateDep,
    width: Inches = None,
    height: Inches = None,
    dpi: Annotated[int, Query(ge=50, le=400)] = 150,
    xscale: Scale | None = None,
    yscale: Scale | None = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The plot as PNG, SVG or PDF, or as JSON exactly the numbers drawn; `X-Partial: true` while runs are under way."""
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    known = [plot.name for plot in source.kind.plots]
    if name not in known or ending not in MEDIA_TYPES:
        what = f"{source.kind.name} draws {', '.join(known)} as {', '.join(MEDIA_TYPES)}"
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"there is no plot {name[:80]}.{ending[:20]}; {what}")
    from engine.plotting import PlotOptions, save

    plots = source.kind.load_plots()
    numbers = plots.numbers(name, source)
    options = PlotOptions(width=width, height=height, dpi=dpi, xscale=xscale, yscale=yscale)
    etag = f'"{hashlib.sha256(f"{canonical_json(numbers)}{options}{ending}".encode()).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not source.is_complete:
        headers["X-Partial"] = "true"
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if ending == "json":
        content = json.dumps(numbers, allow_nan=False).encode()
    else:
        content = save(plots.draw(name, numbers, options), ending, options)  # type: ignore[arg-type]
    return Response(content, media_type=MEDIA_TYPES[ending], headers=headers)
