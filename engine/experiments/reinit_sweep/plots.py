"""The plots of a re-initialisation sweep.

Accuracy against gamma and epsilon (Figures 2, 3, 14, 15), and bars (Figure 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from engine.drawing.accuracy_bars import accuracy_numbers, draw_accuracy_bars
from engine.experiments.reinit_sweep.result import ReinitPointResult
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import (
    PlotOptions,
    Scale,
    add_title,
    count_columns,
    draw_legend,
    draw_message,
    drawing,
    new_figure,
    plot_band,
    series_colors,
    set_scales,
)

PANELS = {
    "active": ("Active re-initialisation", "γ: the most active parameters, reset (%)"),
    "lazy": ("Lazy re-initialisation", "ε: the most active parameters, kept (%)"),
}
TRAINED_AT = {"active": 0.0, "lazy": 100.0}
"""The fraction at which a mode's net is the trained net; at the other end it is the random net."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    return accuracy_numbers(source) if name == "accuracy_bars" else _curve_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing():
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        if name == "accuracy_bars":
            return draw_accuracy_bars(numbers, options)
        return _draw_curves(
            numbers, options, options.xscale or ("log" if name == "curves_log" else "linear")
        )


def _curve_numbers(source: PlotInput) -> dict[str, Any]:
    points = []
    for point_result in source.summary:
        assert isinstance(point_result, ReinitPointResult)
        points.append(
            {
                "values": point_result.point,
                "n": point_result.test_accuracy.n,
                "outcome": point_result.outcome,
                "trained_test_accuracy": point_result.test_accuracy.mean,
                "random_test_accuracy": point_result.initial_test_accuracy.mean,
                "curves": [
                    {
                        "mode": curve.mode,
                        "fractions_percent": list(curve.fractions_percent),
                        "mean": [statistic.mean for statistic in curve.test_accuracy],
                        "standard_error": [
                            statistic.standard_error for statistic in curve.test_accuracy
                        ],
                    }
                    for curve in point_result.curves
                ],
            }
        )
    return {"title": source.title, "points": points}


def _draw_curves(numbers: Mapping[str, Any], options: PlotOptions, scale: Scale) -> Figure:
    points = numbers["points"]
    modes = [
        mode
        for mode in PANELS
        if any(curve["mode"] == mode for point in points for curve in point["curves"])
    ]
    figure = new_figure(options, 4.2 * len(modes) + 0.6, 3.9)
    panels = dict(
        zip(modes, figure.subplots(1, len(modes), sharey=True, squeeze=False)[0], strict=True)
    )
    colors = series_colors([point["values"] for point in points])
    names = _list_names(points)
    for point, name, color in zip(points, names, colors, strict=True):
        for curve in point["curves"]:
            _draw_curve(panels[curve["mode"]], point, curve, name, color)
    for mode, axes in panels.items():
        fractions = {
            fraction
            for point in points
            for curve in point["curves"]
            if curve["mode"] == mode
            for fraction in curve["fractions_percent"]
        }
        title, label = PANELS[mode]
        axes.set(title=title, xlabel=label)
        _scale_fractions(axes, scale, min((one for one in fractions if one > 0), default=1.0))
    first = panels[modes[0]]
    first.set(ylabel="Test accuracy (%)", ylim=(0, 103))
    set_scales(first, y=options.yscale or "linear")
    _add_legend(figure, first)
    add_title(figure, numbers["title"], _describe_seeds(points))
    return figure


def _draw_curve(
    axes: Axes, point: Mapping[str, Any], curve: Mapping[str, Any], name: str, color: Any
) -> None:
    """The curve, with markers at its ends for the trained and the random net."""
    percent = {
        "mean": [100 * value for value in curve["mean"]],
        "standard_error": [
            None if error is None else 100 * error for error in curve["standard_error"]
        ],
    }
    plot_band(axes, curve["fractions_percent"], percent, color=color, label=name)
    trained_at = TRAINED_AT[curve["mode"]]
    for place, accuracy, fill in (
        (trained_at, point["trained_test_accuracy"], color),
        (100.0 - trained_at, point["random_test_accuracy"], "white"),
    ):
        axes.plot(
            place,
            100 * accuracy,
            marker="o",
            markersize=5.0,
            color=color,
            markerfacecolor=fill,
            linestyle="none",
            clip_on=False,
            zorder=3,
        )


def _scale_fractions(axes: Axes, scale: Scale, smallest: float) -> None:
    """0 to 100; on a logarithmic axis a linear part below the smallest fraction holds 0."""
    if scale == "linear":
        axes.set_xlim(-3, 103)
        axes.xaxis.set_major_locator(FixedLocator(range(0, 101, 20)))
        return
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.6)
    decades = [10.0**power for power in range(-10, 3) if smallest <= 10.0**power]
    axes.xaxis.set_major_locator(FixedLocator([0.0, *decades]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(-0.25 * smallest, 130)
    axes.axvspan(-0.25 * smallest, smallest, color="#f2f2f2", zorder=0, linewidth=0)


def _list_names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = label_points([point["values"] for point in points])
    return [
        (label or "net") + (" †" if point["outcome"] != "trained" else "")
        for point, label in zip(points, labels, strict=True)
    ]


def _add_legend(figure: Figure, axes: Axes) -> None:
    """The points by colour, then the markers at the ends."""
    handles, labels = axes.get_legend_handles_labels()
    for label, fill in (("trained net", "#777777"), ("random net", "white")):
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                color="#777777",
                markerfacecolor=fill,
                label=label,
            )
        )
        labels.append(label)
    rows = ceil(len(labels) / count_columns(figure.get_figwidth(), labels))
    columns = ceil(len(labels) / rows)
    order = [place for column in range(columns) for place in range(column, len(labels), columns)]
    # matplotlib fills a legend by columns, a reader reads by rows
    draw_legend(
        figure,
        [handles[place] for place in order],
        [labels[place] for place in order],
        columns,
    )


def _describe_seeds(points: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({point["n"] for point in points})
    seeds = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    text = "one seed" if counts == [1] else f"mean of {seeds} seeds, band: one standard error"
    mark = "; † not trained" if any(point["outcome"] != "trained" for point in points) else ""
    return text + mark
