"""The plots of a gradient spectrum: sorted components (Figure 1), and their shares of the norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from engine.drawing.colors import series_styles
from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.measure import wrap_to
from engine.drawing.notes import describe_marks, describe_seeds, mark_of
from engine.drawing.panels import LABEL_INCHES, count_panel_columns, panel_height
from engine.drawing.text import wrap
from engine.experiments.gradient_spectrum.curves import spectrum_numbers
from engine.kind import PlotInput
from engine.labels import name_points
from engine.plotting import (
    PlotOptions,
    add_title,
    choose_points,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    fitting_columns,
    new_figure,
    plot_band,
    set_scales,
)

MOST_POINTS = 6
"""Rows of panels drawn; the numbers hold all points."""
STEP_COLUMNS = 6
"""Columns of the legend."""
NAME_LETTERS, TITLE_SHARE = 50, 0.8
"""Letters of a line of a panel's title, and its share of the panel's width where it is chosen."""
DECADES = 5
"""Decades of magnitudes on a logarithmic axis; only the smallest components lie below."""
ZOOM = 4.0
"""Extent of the inset over the distance of the farthest elbow."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of both plots; see `curves.spectrum_numbers`."""
    return spectrum_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return (_draw_spectrum if name == "spectrum" else _draw_shares)(numbers, options)


def _draw_spectrum(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """For each point: linear axes with the elbow enlarged, and logarithmic axes beside or below."""
    figure = new_figure(options, 9.0, 0.9 + 3.1 * min(len(numbers["points"]), MOST_POINTS))
    columns = count_panel_columns(figure, 2, 2)
    height = panel_height(figure, columns) * 2 / columns
    labels = LABEL_INCHES * 2 / columns
    chosen = _choose_points(figure, numbers["points"], height + labels)
    points = [numbers["points"][place] for place in chosen]
    styles = _step_styles(points)
    grid = figure.subplots(len(points) * 2 // columns, columns, squeeze=False)
    figure.set_panel_height(grid[:, 0], height * len(points))
    names = _list_names(figure, numbers["points"], columns)
    pairs = grid.reshape(-1, 2)
    for place, point, (linear, logarithmic) in zip(chosen, points, pairs, strict=True):
        _draw_lines(linear, point, styles)
        linear.set(
            xlabel="Rank of the component",
            ylabel=r"$|[g_t]_i|$",
            xlim=(0, point["p"]),
            title=names[place],
        )
        set_scales(linear, x=options.xscale or "linear", y=options.yscale or "linear")
        linear.xaxis.set_major_formatter(EngFormatter(sep=""))
        if options.xscale is None and options.yscale is None:
            linear.set_ylim(bottom=0)
            _draw_inset(figure, linear, point, styles)
        _draw_lines(logarithmic, point, styles)
        set_scales(logarithmic, x="log", y="log")
        logarithmic.set(
            xlabel="Rank of the component",
            ylabel=r"$|[g_t]_i|$",
            title="the same, logarithmic axes",
        )
        _limit_decades(logarithmic, point)
    _add_step_legend(figure, styles)
    _add_title(figure, numbers, points)
    return figure


def _choose_points(
    figure: PlotFigure, points: Sequence[Mapping[str, Any]], height: float
) -> list[int]:
    """The points with panels of `height` inches; a figure of a chosen width fills a page."""
    most = min(MOST_POINTS, int(PAGE_INCHES / height)) if figure.is_fitted else MOST_POINTS
    most = max(1, most)
    return choose_points([None] * len(points), most)


def _draw_lines(axes: Axes, point: Mapping[str, Any], styles: Mapping[int, Any]) -> None:
    for one in point["steps"]:
        plot_band(
            axes,
            one["ranks"],
            one["magnitudes"],
            label=_step_name(one["step"]),
            **styles[one["step"]] | {"linewidth": 0.8 * rcParams["lines.linewidth"]},
        )


def _step_styles(points: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Colour, dash and marker of each step, the same at every point."""
    steps = sorted({one["step"] for point in points for one in point["steps"]})
    return dict(zip(steps, series_styles([{"step": step} for step in steps]), strict=True))


def _step_name(step: int) -> str:
    return f"step {step:,}"


def _add_step_legend(figure: Figure, styles: Mapping[int, Any]) -> None:
    handles = [Line2D([], [], **style) for style in styles.values()]
    labels = [_step_name(step) for step in styles]
    columns = fitting_columns(figure.get_figwidth(), labels, STEP_COLUMNS)
    draw_legend(figure, handles, labels, columns)


def _draw_inset(
    figure: PlotFigure, axes: Axes, point: Mapping[str, Any], styles: Mapping[int, Any]
) -> None:
    """Draw the curve around its elbow into the empty corner of the axes."""
    elbows = [one["elbow"] for one in point["steps"]]
    right = min(point["p"], ZOOM * max(elbow["rank"] for elbow in elbows))
    top = ZOOM * max(elbow["magnitude"] for elbow in elbows)
    if right >= point["p"] / 2 or not top:
        return
    inset = axes.inset_axes((0.4, 0.34, 0.56, 0.56))
    _draw_lines(inset, point, styles)
    inset.set(xlim=(0, right), ylim=(0, top))
    inset.text(
        0.97,
        0.94,
        "at the elbow",
        transform=inset.transAxes,
        ha="right",
        va="top",
        fontsize=figure.text_size(7.5),
    )
    inset.tick_params(labelsize=figure.text_size(7.0))
    inset.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.indicate_inset_zoom(inset, edgecolor="#666666")


def _limit_decades(axes: Axes, point: Mapping[str, Any]) -> None:
    largest = max(one["magnitudes"]["mean"][0] for one in point["steps"])
    if largest > 0:
        axes.set_ylim(largest * 10.0**-DECADES, largest * 3)


def _draw_shares(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    most = min(len(numbers["points"]), MOST_POINTS)
    usual_columns = min(most, 3)
    figure = new_figure(options, 2.2 + 4.0 * usual_columns, 0.9 + 3.2 * -(-most // usual_columns))
    columns = count_panel_columns(figure, most, 3)
    height = panel_height(figure, columns)
    chosen = _choose_points(figure, numbers["points"], (height + LABEL_INCHES) / columns)
    points = [numbers["points"][place] for place in chosen]
    styles = _step_styles(points)
    rows = -(-len(points) // columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.set_panel_height(grid[:, 0], rows * height)
    names = _list_names(figure, numbers["points"], columns)
    panels = grid.flatten()
    for axes, place, point in zip(panels, chosen, points, strict=False):
        for one in point["steps"]:
            percent = [100 * rank / one["p"] for rank in one["ranks"]]
            shares = {
                name: [None if value is None else 100 * value for value in values]
                for name, values in one["share_of_norm"].items()
            }
            plot_band(axes, percent, shares, label=_step_name(one["step"]), **styles[one["step"]])
        set_scales(axes, x=options.xscale or "log", y=options.yscale or "linear")
        axes.set(
            xlabel="Largest components (% of all)",
            ylabel="Share of norm² (%)" if figure.is_fitted else "Share of the squared norm (%)",
            title=names[place],
        )
        if axes.get_yscale() == "linear":
            axes.set_ylim(0, 102)
    for axes in panels[len(points) :]:
        axes.set_axis_off()
    _add_step_legend(figure, styles)
    _add_title(figure, numbers, points)
    return figure


def _list_names(figure: PlotFigure, points: Sequence[Mapping[str, Any]], columns: int) -> list[str]:
    """A title for the panel of each point."""
    labels = name_points(points)
    names = [
        f"{label + ', ' if label else ''}p = {point['p']:,}{mark_of(point, ' †')}"
        for point, label in zip(points, labels, strict=True)
    ]
    if not figure.is_fitted:
        return [wrap(name, NAME_LETTERS) for name in names]
    width = TITLE_SHARE * figure.get_figwidth() / columns
    return [wrap_to(name, width, figure.text_size(8.0)) for name in names]


def _add_title(
    figure: Figure, numbers: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> None:
    counts = (one["n"] for point in points for one in point["steps"])
    text = describe_seeds(counts, "band: one standard error") + describe_marks(points)
    add_title(figure, numbers["title"], text + describe_left_out(points, numbers, ""))
