"""Test accuracy against a share of the parameters: lines by point and series, and a reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from engine.drawing.colors import DASHES, OKABE_ITO, series_markers
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import add_panels, choose_lines
from engine.kind import PlotInput
from engine.plotting import (
    PlotOptions,
    add_title,
    count_columns,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    legend_height,
    new_figure,
    plot_band,
    series_colors,
    set_scales,
)
from engine.result import PointResult, Statistic

FEW_DECADES = 100.0
GREY = "#777777"
REFERENCE = (0, (1.0, 2.0))
"""Line style of the reference: the training with all parameters."""
Style = dict[str, Any]
ShareCurve = tuple[str, Sequence[float], Sequence[Statistic]]
"""(series, percent of the parameters, test accuracy at each)"""


def list_share_curves(
    source: PlotInput, read: Callable[[PointResult], Iterable[ShareCurve]]
) -> dict[str, Any]:
    """The numbers that `draw_share_curves` draws. read: the curves of a point's result."""
    return {
        "title": source.title,
        "points": [
            {
                "values": dict(result.point),
                "n": result.test_accuracy.n,
                "outcome": result.outcome,
                "reference": result.test_accuracy.mean,
                "curves": [
                    {
                        "series": series,
                        "percent": list(percents),
                        "mean": [one.mean for one in accuracies],
                        "standard_error": [one.standard_error for one in accuracies],
                    }
                    for series, percents, accuracies in read(result)
                ],
            }
            for result in source.summary
        ],
    }


def draw_share_curves(
    numbers: Mapping[str, Any],
    options: PlotOptions,
    *,
    xlabel: str,
    reference: str,
    titles: Mapping[str, str],
    falling: bool = False,
) -> Figure:
    """One line for each point and series, and a dotted one for the reference of each point.

    numbers: of `list_share_curves`; accuracies in [0, 1]. titles: of the series, in the order of
    the legend. falling: the share falls from left to right.
    """
    with drawing(options):
        all_points = numbers["points"]
        if not all_points:
            return draw_message(options, "No results yet")
        chosen = choose_lines([point["reference"] for point in all_points], options)
        points = [all_points[place] for place in chosen]
        present = {curve["series"] for point in points for curve in point["curves"]}
        series = [name for name in titles if name in present]
        figure = new_figure(options, 6.4, 4.2 + legend_height(len(points) + len(series)))
        (axes,) = add_panels(figure, 1)
        labels = name_with_marks(all_points)
        styles = _choose_styles(points, series)
        for place, point in enumerate(points):
            for curve in point["curves"]:
                style = styles[place, curve["series"]]
                axes_style = {**style, "markersize": figure.scaled(3.5), "markevery": 1}
                plot_band(axes, curve["percent"], _in_percent(curve), label="", **axes_style)
            color = GREY if len(points) == 1 else styles[place, series[0]]["color"]
            axes.axhline(100 * point["reference"], color=color, linestyle=REFERENCE, zorder=1)
        axes.set(xlabel=xlabel, ylabel="Test accuracy (%)")
        set_scales(axes, x=options.xscale or "log", y=options.yscale or "linear")
        _name_ticks(axes)
        if falling:
            axes.invert_xaxis()
        handles, names = _list_handles(points, series, styles, titles, labels, chosen)
        handles.append(Line2D([], [], color=GREY, linestyle=REFERENCE))
        names.append(reference)
        columns = count_columns(figure.get_figwidth(), names)
        draw_legend(figure, handles, names, columns, by_rows=True)
        seeds = describe_seeds((point["n"] for point in points), "band: one standard error")
        note = seeds + describe_marks(points) + describe_left_out(points, numbers)
        add_title(figure, numbers["title"], note)
        return figure


def _name_ticks(axes: Axes) -> None:
    """Percent as plain numbers; also 2 and 5 of a decade where there are few decades."""
    if axes.get_xscale() != "log":
        return
    low, high = sorted(axes.get_xlim())
    if high < FEW_DECADES * low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _choose_styles(
    points: Sequence[Mapping[str, Any]], series: Sequence[str]
) -> dict[tuple[int, str], Style]:
    """A dash for each series; colour and marker by point, or by series where there is one point."""
    by_series = len(points) == 1
    colors = OKABE_ITO if by_series else series_colors([point["values"] for point in points])
    markers = series_markers(len(series) if by_series else len(points))
    return {
        (place, name): {
            "color": colors[order if by_series else place],
            "marker": markers[order if by_series else place],
            "linestyle": DASHES[order % len(DASHES)],
        }
        for place in range(len(points))
        for order, name in enumerate(series)
    }


def _list_handles(
    points: Sequence[Mapping[str, Any]],
    series: Sequence[str],
    styles: Mapping[tuple[int, str], Style],
    titles: Mapping[str, str],
    labels: Sequence[str],
    chosen: Sequence[int],
) -> tuple[list[Line2D], list[str]]:
    if len(points) == 1:
        return [Line2D([], [], **styles[0, name]) for name in series], [
            titles[name] for name in series
        ]
    handles = [
        Line2D([], [], **{**styles[place, series[0]], "linestyle": "-"})
        for place in range(len(points))
    ]
    names = [labels[place] for place in chosen]
    for name in series:
        dash = styles[0, name]["linestyle"]
        handles.append(Line2D([], [], color=GREY, linestyle=dash))
        names.append(titles[name])
    return handles, names


def _in_percent(curve: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [None if value is None else 100 * value for value in curve[name]]
        for name in ("mean", "standard_error")
    }
