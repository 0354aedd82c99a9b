"""The plots of a re-initialisation sweep.

Accuracy against gamma and epsilon (Figures 2, 3, 14, 15), bars (Figure 4), and layers reset alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from engine.drawing.accuracy_bars import (
    AT_INITIALISATION,
    accuracy_numbers,
    draw_accuracy_bars,
)
from engine.drawing.colors import series_markers
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import add_panels, choose_lines, is_first_column
from engine.experiments.reinit_sweep.layer_plot import draw_layers, layer_numbers
from engine.experiments.reinit_sweep.result import ReinitPointResult
from engine.experiments.reinit_sweep.spec import InitReset, ReinitSweepSpec
from engine.kind import PlotInput
from engine.plotting import (
    LINEAR_PART,
    PlotOptions,
    Scale,
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
from engine.result import Statistic

PANEL_OF = {"active": "active", "random": "active", "lazy": "lazy"}
"""The random control is drawn beside the active curve."""
PANELS = {
    "active": ("Active re-initialisation", "γ: the most active parameters, reset (%)"),
    "lazy": ("Lazy re-initialisation", "ε: the most active parameters, kept (%)"),
}
CONTROL = (0, (4, 2))
"""Line style of the control."""
END_SIZE = 1.7
"""Of the markers at the ends of a curve over those along it."""
TRAINED_AT = {"active": 0.0, "lazy": 100.0}
"""The fraction at which a mode's net is the trained net; at the other end it is the random net."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    if name == "accuracy_bars":
        return _bar_numbers(source)
    return layer_numbers(source) if name == "layer_robustness" else _curve_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if name == "layer_robustness":
            return draw_layers(numbers, options)
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        if name == "accuracy_bars":
            return draw_accuracy_bars(numbers, options)
        if not any(point["curves"] for point in numbers["points"]):
            return draw_message(options, "No point has a mode with a curve")
        return _draw_curves(
            numbers, options, options.xscale or ("log" if name == "curves_log" else "linear")
        )


def _bar_numbers(source: PlotInput) -> dict[str, Any]:
    """As of `train`, but the bars start at the net that is reset to: the random net by default.

    With a list of layers as scope, at the net with all of these reset. A point without the end of a
    curve has no bar.
    """
    numbers = accuracy_numbers(source)
    finished = [point for point in source.points if point.results]
    bars, resets = [], set()
    for bar, point, point_result in zip(numbers["points"], finished, source.summary, strict=True):
        assert isinstance(point.spec, ReinitSweepSpec)
        assert isinstance(point_result, ReinitPointResult)
        if point.spec.scope_layers or not isinstance(point.spec.reset_to, InitReset):
            start = _all_reset(point_result)
            if start is None:
                continue
            bar["initial_test_accuracy"] = start.model_dump()
        bars.append(bar)
        resets.add("layers" if point.spec.scope_layers else point.spec.reset_to.name)
    start_label = AT_INITIALISATION if resets <= {"init"} else "net that is reset to"
    return {**numbers, "start": start_label, "points": bars}


def _all_reset(point_result: ReinitPointResult) -> Statistic | None:
    """Accuracy with every parameter reset, where a curve reaches it."""
    for curve in point_result.curves:
        percent = 0.0 if curve.mode == "lazy" else 100.0
        if percent in curve.fractions_percent:
            return curve.test_accuracy[curve.fractions_percent.index(percent)]
    return None


def _curve_numbers(source: PlotInput) -> dict[str, Any]:
    points = []
    finished = [point for point in source.points if point.results]
    for point, point_result in zip(finished, source.summary, strict=True):
        assert isinstance(point.spec, ReinitSweepSpec)
        assert isinstance(point_result, ReinitPointResult)
        points.append(
            {
                "values": point_result.point,
                "n": point_result.test_accuracy.n,
                "outcome": point_result.outcome,
                "trained_test_accuracy": point_result.test_accuracy.mean,
                "random_test_accuracy": point_result.initial_test_accuracy.mean,
                "layers": list(point.spec.scope_layers),
                "reset_to": point.spec.reset_to.model_dump(mode="json"),
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
    all_points = numbers["points"]
    chosen = choose_lines([point["trained_test_accuracy"] for point in all_points], options)
    points = [all_points[place] for place in chosen]
    modes = [
        mode
        for mode in PANELS
        if any(PANEL_OF[curve["mode"]] == mode for point in points for curve in point["curves"])
    ]
    height = 3.9 + legend_height(len(points))
    figure = new_figure(options, 4.2 * len(modes) + 0.6, height)
    panels = dict(zip(modes, add_panels(figure, len(modes), sharey=True), strict=True))
    colors = series_colors([point["values"] for point in points])
    all_names = name_with_marks(all_points)
    markers = series_markers(len(points))
    for place, point, color, marker in zip(chosen, points, colors, markers, strict=True):
        style = {"color": color, "marker": marker, "markersize": figure.scaled(3.0)}
        for curve in point["curves"]:
            _draw_curve(panels[PANEL_OF[curve["mode"]]], point, curve, all_names[place], style)
    for mode, axes in panels.items():
        fractions = {
            fraction
            for point in points
            for curve in point["curves"]
            if PANEL_OF[curve["mode"]] == mode
            for fraction in curve["fractions_percent"]
        }
        title, label = PANELS[mode]
        axes.set(title=title, xlabel=label)
        _scale_fractions(axes, scale, min((one for one in fractions if one > 0), default=1.0))
    first = panels[modes[0]]
    first.set(ylim=(0, 103))
    for axes in panels.values():
        if is_first_column(axes):
            axes.set_ylabel("Test accuracy (%)")
    set_scales(first, y=options.yscale or "linear")
    lines = [
        Line2D([], [], color=color, marker=marker, markersize=figure.scaled(3.0))
        for color, marker in zip(colors, markers, strict=True)
    ]
    _add_legend(figure, lines, [all_names[place] for place in chosen], points)
    seeds = describe_seeds((point["n"] for point in points), "band: one standard error")
    note = seeds + describe_marks(points) + describe_left_out(points, numbers)
    add_title(figure, numbers["title"], note)
    return figure


def _draw_curve(
    axes: Axes,
    point: Mapping[str, Any],
    curve: Mapping[str, Any],
    name: str,
    style: dict[str, Any],
) -> None:
    """The curve, with markers at its ends for the trained net and the net that is reset to.

    The control has the same markers on a dashed line.
    """
    is_control = curve["mode"] == "random"
    percent = {
        "mean": [100 * value for value in curve["mean"]],
        "standard_error": [
            None if error is None else 100 * error for error in curve["standard_error"]
        ],
    }
    if is_control:
        axes.plot(
            curve["fractions_percent"],
            percent["mean"],
            linestyle=CONTROL,
            linewidth=0.75 * rcParams["lines.linewidth"],
            **style,
        )
        return
    plot_band(axes, curve["fractions_percent"], percent, label=name, markevery=1, **style)
    trained_at = TRAINED_AT[curve["mode"]]
    reset_accuracy = _reset_accuracy(point, curve, 100.0 - trained_at)
    for place, accuracy, fill in (
        (trained_at, point["trained_test_accuracy"], style["color"]),
        (100.0 - trained_at, reset_accuracy, "white"),
    ):
        if accuracy is None:
            continue
        axes.plot(
            place,
            100 * accuracy,
            **style | {"markersize": END_SIZE * style["markersize"]},
            markerfacecolor=fill,
            linestyle="none",
            clip_on=False,
            zorder=3,
        )


def _reset_accuracy(
    point: Mapping[str, Any], curve: Mapping[str, Any], percent: float
) -> float | None:
    """Of the net with every parameter of the scope reset; None where it is not known."""
    fractions = curve["fractions_percent"]
    if percent in fractions:
        return float(curve["mean"][fractions.index(percent)])
    return float(point["random_test_accuracy"]) if _ends_at_random(point) else None


def _ends_at_random(point: Mapping[str, Any]) -> bool:
    """Whether the net with every parameter reset is the random net."""
    return point["reset_to"]["name"] == "init" and not point["layers"]


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
    axes.axvspan(-0.25 * smallest, smallest, color=LINEAR_PART, zorder=0, linewidth=0)


def _add_legend(
    figure: Figure,
    handles: list[Line2D],
    labels: list[str],
    points: Sequence[Mapping[str, Any]],
) -> None:
    """The points by colour, then the markers at the ends and the control.

    handles, labels: of the points; more are appended.
    """
    is_random = all(map(_ends_at_random, points))
    reset = "random net" if is_random else "net that is reset to"
    for label, fill in (("trained net", "#777777"), (reset, "white")):
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
    if any(curve["mode"] == "random" for point in points for curve in point["curves"]):
        handles.append(Line2D([], [], color="#777777", linestyle=CONTROL))
        labels.append("as many at random")
    columns = count_columns(figure.get_figwidth(), labels)
    draw_legend(figure, handles, labels, columns, by_rows=True)
