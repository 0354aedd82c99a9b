"""Plots, drawn on request from stored results, also while the experiment runs."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from fastapi import Header, Query, Response
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from api.dependencies import StateDep
from api.experiments.drawing_limits import check_drawing
from api.http import written_tables
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from engine.kind import PlotInfo
from engine.plot_numbers import plot_numbers, read_points
from engine.spec import canonical_json
from engine.sweep_plots import list_quantities
from engine.tables import WRITERS, to_csv
from schemas.base import Page
from schemas.plots import Plot, PlotQuantity
from schemas.problems import ProblemCode
from storage.results.stored_results import StoredPlotInput

router = Router(tags=["plots"])

MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "json": "application/json",
}
PICTURES = frozenset({"png", "svg", "pdf"})
TABLE_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    **{ending: written_tables.TABLE_MEDIA_TYPES[ending] for ending in ("csv", "tex", "md")},
}
"""Additional formats of plots that are tables."""
Inches = Annotated[float | None, Query(ge=2, le=20, description="Inches.")]
WidthName = Literal["column", "text", "slide"]


def _parse_width(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    """One error, not one for each type that a width may have."""
    try:
        return parse(value)
    except ValidationError:
        names = ", ".join(get_args(WidthName))
        raise PydanticCustomError("value_error", WIDTH_ERROR, {"names": names}) from None


WIDTH_ERROR = "give inches from 2 to 20, or one of {names}"
Width = Annotated[
    Annotated[float, Field(ge=2, le=20)] | WidthName | None,
    WrapValidator(_parse_width),
    Query(
        description="Inches, or `column` (3.25, of a two-column paper), `text` (6.75) or `slide` "
        "(10, with larger text). The plot is laid out for a chosen width, with text of 7 to 8 "
        "points; without it, for a page."
    ),
]
Title = Annotated[
    Literal["shown", "none"],
    Query(description="`none` leaves the experiment's name to the caption."),
]
Scale = Literal["linear", "log"]
Quantity = Annotated[
    str | None,
    Query(
        max_length=100,
        description="A number of the answer, by its name in the list of plots; by default the "
        "first one. Plots of the sweep show it, others rank points by it.",
    ),
]
Points = Annotated[
    str | None,
    Query(
        max_length=100,
        description="The points of a plot that can show some: `best`, `worst` or `spread` (6 by "
        "the quantity), or up to 12 indices with commas between.",
    ),
]


@router.get("/experiments/{experiment_id}/plots")
def list_plots(experiment_id: str, state: StateDep) -> Page[Plot]:
    """List the plots that the experiment's kind can draw."""
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    answers = [source.kind.read_answer(result) for result in source.point_results]
    quantities = [
        PlotQuantity(name=one.name, title=one.title, unit=one.unit, better=one.better)
        for one in list_quantities(answers)
    ]
    plots = [_describe(experiment_id, plot, source, quantities) for plot in source.kind.plots]
    return Page[Plot](items=plots)


def _describe(
    experiment_id: str, plot: PlotInfo, source: StoredPlotInput, quantities: list[PlotQuantity]
) -> Plot:
    base = f"/experiments/{experiment_id}/plots/{plot.name}"
    reason = plot.explain_absence(source)
    endings = _media_types(plot) if reason is None else ()
    return Plot(
        name=plot.name,
        title=plot.title,
        description=plot.description,
        applies=reason is None,
        reason=reason,
        shows="sweep" if plot.is_of_sweep else "all" if plot.draws_all else "points",
        quantities=quantities if plot.is_of_sweep else [],
        links={ending: f"{base}.{ending}" for ending in endings},
    )


def _media_types(plot: PlotInfo) -> dict[str, str]:
    """Media types by file extension."""
    return MEDIA_TYPES if plot.table_path is None else MEDIA_TYPES | TABLE_MEDIA_TYPES


@router.get(
    "/experiments/{experiment_id}/plots/{name}.{ending}",
    response_class=Response,
    responses={
        200: {
            "content": {
                media_type.partition(";")[0]: {}
                for media_type in (*MEDIA_TYPES.values(), *TABLE_MEDIA_TYPES.values())
            }
        },
        304: {"description": "Unchanged"},
    },
)
def draw_plot(
    experiment_id: str,
    name: str,
    ending: str,
    state: StateDep,
    width: Width = None,
    height: Inches = None,
    dpi: Annotated[int, Query(ge=50, le=400)] = 150,
    xscale: Scale | None = None,
    yscale: Scale | None = None,
    title: Title = "shown",
    quantity: Quantity = None,
    points: Points = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Draw a plot as PNG, SVG or PDF. JSON holds the numbers of all points, or of those chosen.

    Curves and maps show a chosen few of more than 12 points; plots of all points have up to 400.
    404 where the plot shows nothing of this experiment. Plots that are tables also come as HTML,
    CSV, LaTeX and Markdown. `X-Partial: true` while runs are under way.
    """
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    known = {plot.name: plot for plot in source.kind.plots}
    if name not in known or ending not in _media_types(known[name]):
        endings = _media_types(known[name]) if name in known else MEDIA_TYPES
        what = f"{source.kind.name} draws {', '.join(known)}, each as {', '.join(endings)}"
        raise ProblemRaised(
            404, ProblemCode.NOT_FOUND, f"there is no plot {name[:80]}.{ending[:20]}; {what}"
        )
    reason = known[name].explain_absence(source)
    if reason is not None:
        detail = f"the plot {name} does not apply to this experiment: {reason}"
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, detail)
    chosen = None if points is None else read_points(points, len(source.values))
    from engine.drawing.fitting import draw_plot
    from engine.plotting import PlotOptions, save

    options = PlotOptions(width, height, dpi, xscale, yscale, title)
    if ending in PICTURES:
        drawn = len(source.values) if known[name].draws_all else 0
        check_drawing(drawn, options.width_inches, height, dpi)
    set_table = known[name].load_table()
    numbers = plot_numbers(
        source.kind,
        name,
        source,
        quantity=quantity,
        points=chosen,
        for_picture=ending in PICTURES,
    )
    etag = f'"{hashlib.sha256(f"{canonical_json(numbers)}{options}{ending}".encode()).hexdigest()}"'
    file_name = f"{experiment_id}-{name}.{ending}"
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Disposition": f'inline; filename="{file_name}"',
    }
    if not source.is_complete:
        headers["X-Partial"] = "true"
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if ending == "json":
        content = json.dumps(numbers, allow_nan=False).encode()
    elif ending == "csv":
        content = to_csv(numbers).encode()
    elif ending in WRITERS and set_table is not None:
        content = WRITERS[ending](set_table(numbers)).encode()
    else:
        figure = draw_plot(source.kind.load_plots(), name, numbers, options)
        content = save(figure, ending, options)  # type: ignore[arg-type]
    return Response(content, media_type=_media_types(known[name])[ending], headers=headers)
