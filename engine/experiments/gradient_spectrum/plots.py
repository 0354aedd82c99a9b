"""The plots of a gradient spectrum: sorted components (Figure 1), and their shares of the norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from engine.drawing.text import wrap
from engine.experiments.gradient_spectrum.curves import spectrum_numbers
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import (
    PlotOptions,
    add_title,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    fitting_columns,
    new_figure,
    plot_band,
    series_colors,
    set_scales,
)

MOST_POINTS = 6
"""Rows of panels drawn; the numbers hold all points."""
STEP_COLUMNS = 6
"""Columns of the legend."""
NAME_LETTERS = 50
"""Letters of a line of a panel's title."""
DECADES = 5
"""Decades of magnitudes on a logarithmic axis; only the smallest components lie below."""
ZOOM = 4.0
"""Extent of the inset over the distance of the farthest elbow."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of both plots; see `curves.spectrum_numbers`."""
    return spectrum_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing():
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return (_draw_spectrum if name == "spectrum" else _draw_shares)(numbers, options)


def _draw_spectrum(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A row for each point: linear axes with the elbow enlarged, and logarithmic axes."""
    points = numbers["points"][:MOST_POINTS]
    colors = _step_colors(points)
    figure = new_figure(options, 9.0, 0.9 + 3.1 * len(points))
    grid = figure.subplots(len(points), 2, squeeze=False)
    names = _list_names(numbers["points"])
    for point, name, (linear, logarithmic) in zip(points, names, grid, strict=False):
        _draw_lines(linear, point, colors)
        linear.set(
            xlabel="Rank of the component",
            ylabel=r"$|[g_t]_i|$",
            xlim=(0, point["p"]),
            title=name,
        )
        set_scales(linear, x=options.xscale or "linear", y=options.yscale or "linear")
        linear.xaxis.set_major_formatter(EngFormatter(sep=""))
        if options.xscale is None and options.yscale is None:
            linear.set_ylim(bottom=0)
            _draw_inset(linear, point, colors)
        _draw_lines(logarithmic, point, colors)
        set_scales(logarithmic, x="log", y="log")
        logarithmic.set(
            xlabel="Rank of the component",
            ylabel=r"$|[g_t]_i|$",
            title="the same, logarithmic axes",
        )
        _limit_decades(logarithmic, point)
    _add_step_legend(figure, colors)
    _add_title(figure, numbers, points)
    return figure


def _draw_lines(axes: Axes, point: Mapping[str, Any], colors: Mapping[int, Any]) -> None:
    for one in point["steps"]:
        color = colors[one["step"]]
        plot_band(
            axes,
            one["ranks"],
            one["magnitudes"],
            color=color,
            label=_step_name(one["step"]),
            linewidth=1.2,
        )


def _step_colors(points: Sequence[Mapping[str, Any]]) -> dict[int, Any]:
    """A colour for each step, the same at every point."""
    steps = sorted({one["step"] for point in points for one in point["steps"]})
    return dict(zip(steps, series_colors([{"step": step} for step in steps]), strict=True))


def _step_name(step: int) -> str:
    return f"step {step:,}"


def _add_step_legend(figure: Figure, colors: Mapping[int, Any]) -> None:
    handles = [Line2D([], [], color=color) for color in colors.values()]
    labels = [_step_name(step) for step in colors]
    columns = fitting_columns(figure.get_figwidth(), labels, STEP_COLUMNS)
    draw_legend(figure, handles, labels, columns)


def _draw_inset(axes: Axes, point: Mapping[str, Any], colors: Mapping[int, Any]) -> None:
    """Draw the curve around its elbow into the empty corner of the axes."""
    elbows = [one["elbow"] for one in point["steps"]]
    right = min(point["p"], ZOOM * max(elbow["rank"] for elbow in elbows))
    top = ZOOM * max(elbow["magnitude"] for elbow in elbows)
    if right >= point["p"] / 2 or not top:
        return
    inset = axes.inset_axes((0.4, 0.34, 0.56, 0.56))
    _draw_lines(inset, point, colors)
    inset.set(xlim=(0, right), ylim=(0, top))
    inset.text(
        0.97, 0.94, "at the elbow", transform=inset.transAxes, ha="right", va="top", fontsize=7.5
    )
    inset.tick_params(labelsize=7)
    inset.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.indicate_inset_zoom(inset, edgecolor="#666666")


def _limit_decades(axes: Axes, point: Mapping[str, Any]) -> None:
    largest = max(one["magnitudes"]["mean"][0] for one in point["steps"])
    if largest > 0:
        axes.set_ylim(largest * 10.0**-DECADES, largest * 3)


def _draw_shares(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    points = numbers["points"][:MOST_POINTS]
    colors = _step_colors(points)
    columns = min(len(points), 3)
    rows = -(-len(points) // columns)
    figure = new_figure(options, 2.2 + 4.0 * columns, 0.9 + 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    names = _list_names(numbers["points"])
    for axes, point, name in zip(panels, points, names, strict=False):
        for one in point["steps"]:
            percent = [100 * rank / one["p"] for rank in one["ranks"]]
            shares = {
                name: [None if value is None else 100 * value for value in values]
                for name, values in one["share_of_norm"].items()
            }
            plot_band(
                axes, percent, shares, color=colors[one["step"]], label=_step_name(one["step"])
            )
        set_scales(axes, x=options.xscale or "log", y=options.yscale or "linear")
        axes.set(
            xlabel="Largest components (% of all)",
            ylabel="Share of the squared norm (%)",
            title=name,
        )
        if axes.get_yscale() == "linear":
            axes.set_ylim(0, 102)
    for axes in panels[len(points) :]:
        axes.set_axis_off()
    _add_step_legend(figure, colors)
    _add_title(figure, numbers, points)
    return figure


def _list_names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = label_points([point["values"] for point in points])
    names = [
        f"{label + ', ' if label else ''}p = {point['p']:,}"
        for point, label in zip(points, labels, strict=True)
    ]
    marks = [" †" if point["untrained"] else "" for point in points]
    return [wrap(name + mark, NAME_LETTERS) for name, mark in zip(names, marks, strict=True)]


def _add_title(
    figure: Figure, numbers: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> None:
    seeds = max(point["n"] for point in points)
    text = f"mean of {seeds} seeds, band: one standard error" if seeds > 1 else "one seed"
    if any(point["untrained"] for point in points):
        text += "; † not trained"
    text += describe_left_out(points, numbers["points"])
    add_title(figure, numbers["title"], text)
