"""Draws the plot of probes: panels by epoch and by layer, a line for each point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.drawing.colors import series_styles
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import choose_lines, count_panel_columns, panel_height
from engine.plotting import (
    PlotOptions,
    add_title,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    fitting_columns,
    legend_height,
    new_figure,
    plot_band,
    set_scales,
)
from engine.statistic_text import name_with_unit, scale_of

COLUMNS = 4
"""Panels side by side"""
PANEL_INCHES = 2.1


def draw_probes(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure from the numbers of `engine.probes.plot`."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return _draw(numbers, options)


def _draw(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    all_points, quantities = numbers["points"], numbers["quantities"]
    first = quantities[0]["name"]
    scores = [(point["curves"].get(first, {}).get("mean") or [None])[-1] for point in all_points]
    chosen = choose_lines(scores, options)
    points = [all_points[place] for place in chosen]
    labels = ["" if name == "net" else name for name in name_with_marks(all_points)]
    panels_of = [(quantity, "curves", "epoch") for quantity in quantities]
    panels_of += [
        (quantity, "layers", "layer")
        for quantity in quantities
        if any(quantity["name"] in point["layers"] for point in points)
    ]
    rows = -(-len(panels_of) // COLUMNS)
    figure = new_figure(options, 10.0, PANEL_INCHES * rows + 0.6 + legend_height(len(points)))
    columns = count_panel_columns(figure, len(panels_of), COLUMNS)
    rows = -(-len(panels_of) // columns)
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.set_panel_height(panels[:, 0], rows * panel_height(figure, columns))
    for axes in panels.flat[len(panels_of) :]:
        axes.set_axis_off()
    styles = series_styles([point["values"] for point in points])
    for axes, (quantity, part, along) in zip(panels.flat, panels_of, strict=False):
        for place, point, style in zip(chosen, points, styles, strict=True):
            curve = point[part].get(quantity["name"])
            if curve is not None:
                if part == "layers" or len(curve[along]) < 3:
                    style = style | {"marker": style["marker"] or "o"}
                scaled = _scale(curve, scale_of(quantity["unit"]))
                plot_band(axes, curve[along], scaled, label=labels[place], **style)
        words = quantity["name"].replace("_", " ").replace("cka", "CKA").replace("relu", "ReLU")
        axes.set_ylabel(name_with_unit(words, quantity["unit"]))
        is_log = options.xscale == "log" and part == "curves"
        set_scales(axes, x="symlog" if is_log else "linear", y=options.yscale)
        if not is_log:
            axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("Epoch" if part == "curves" else "Layer, from the bottom")
    names = [labels[place] for place in chosen]
    if any(names):
        handles = [Line2D([], [], **style) for style in styles]
        draw_legend(figure, handles, names, fitting_columns(figure.get_figwidth(), names))
    counts = (
        count
        for point in points
        for curve in (*point["curves"].values(), *point["layers"].values())
        for count in curve["n"]
    )
    seeds = describe_seeds(counts, "band: one standard error") + describe_marks(points)
    add_title(figure, numbers["title"], seeds + describe_left_out(points, numbers))
    return figure


def _scale(curve: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {
        name: [None if value is None else factor * value for value in curve[name]]
        for name in ("mean", "standard_error")
    }
