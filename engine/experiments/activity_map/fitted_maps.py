"""Activity maps in a figure of a chosen width: a row for each tensor, alphas side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from engine.analysis.fractions import percent_key
from engine.drawing.colors import cut_map
from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.measure import text_inches, wrap_to
from engine.drawing.notes import describe_seeds
from engine.experiments.activity_map.wording import (
    READING,
    describe_bins,
    name_piece,
    title_of_panel,
)
from engine.labels import name_points
from engine.plotting import PlotOptions, add_title, choose_points, describe_left_out, new_figure

COLOR_MAP = "plasma"
"""Dark (0) to light (1), so that grey print keeps the order; blue and red would be one grey."""
BLOCK_INCHES = 2.8
"""Least width of the block of one point."""
ROW_INCHES, LEAST_ROW_INCHES = 0.4, 0.15
"""Height of a row, and where there are many."""
HEADER_INCHES, FOOTER_INCHES = 0.6, 1.2
"""Above a block, and below all: the point's name and the alphas; the colour bar and the note."""
LABEL_SHARE = 0.4
"""Of a block, at most for the names of its rows."""
BAR_SHARE, BAR_GAP_INCHES = 0.7, 0.12
"""Of the figure's width, for the label of the colour bar; and above the bar."""
GAP = 0.04
"""Between maps, in columns; between rows in proportion."""
ROW_GAP = 0.08


def draw_fitted_maps(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """Blocks side by side and below one another, as many as fit on a page."""
    all_points = numbers["points"]
    figure = new_figure(options, 6.0, 6.0)
    most = max(len(point["maps"]) for point in all_points)
    page = PAGE_INCHES - FOOTER_INCHES
    row = min(ROW_INCHES, max(LEAST_ROW_INCHES, (page - HEADER_INCHES) / most))
    columns = min(len(all_points), max(1, int(figure.space / BLOCK_INCHES)))
    blocks = columns * max(1, int(page / (most * row + HEADER_INCHES)))
    scores = [point["test_accuracy"]["mean"] for point in all_points]
    chosen = choose_points(scores, blocks)
    points = [all_points[place] for place in chosen]
    rows = -(-len(points) // columns)
    names = name_points(all_points)
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.set_panel_height(panels[:, 0], rows * most * row)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, place, point in zip(panels.flat, chosen, points, strict=False):
        title = title_of_panel(figure, point, names[place], columns)
        axes.set_axis_on()
        axes.set_title(title)
        _draw_block(figure, axes, point, most, columns)
    figure.colorbar(
        ScalarMappable(cmap=cut_map(COLOR_MAP)),
        ax=panels,
        location="bottom",
        fraction=0.05,
        pad=BAR_GAP_INCHES / (rows * most * row),
        aspect=40,
        label=wrap_to(
            describe_bins(numbers), BAR_SHARE * figure.get_figwidth(), figure.text_size(8.0)
        ),
    )
    seeds = describe_seeds(point["n"] for point in points).capitalize()
    note = f"{READING} {seeds}{describe_left_out(points, numbers)}."
    size = figure.text_size(7.0)
    figure.supxlabel(wrap_to(note, 0.95 * figure.get_figwidth(), size), fontsize=size)
    add_title(figure, numbers["title"])
    return figure


def _draw_block(
    figure: PlotFigure, axes: Axes, point: Mapping[str, Any], most: int, columns: int
) -> None:
    """The maps of a point in one pair of axes, the bottom of the net on top."""
    alphas = point["alphas_percent"]
    for row, layer in enumerate(point["maps"]):
        for column, alpha in enumerate(alphas):
            left, right, top, bottom = column + GAP, column + 1 - GAP, row + ROW_GAP, row + 1
            axes.imshow(
                layer["frequency"][percent_key(alpha)],
                cmap=cut_map(COLOR_MAP),
                vmin=0.0,
                vmax=1.0,
                aspect="auto",
                interpolation="nearest",
                extent=(left, right, bottom, top),
            )
            frame = Rectangle(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                linewidth=rcParams["axes.linewidth"],
                edgecolor="#666666",
            )
            axes.add_patch(frame)
    size = figure.text_size(7.0)
    width = LABEL_SHARE * figure.get_figwidth() / columns
    labels = [_name_row(layer, point, width, size) for layer in point["maps"]]
    axes.set_yticks([row + 0.5 for row in range(len(labels))], labels)
    alpha_labels = [rf"$\alpha$ = {percent_key(alpha)} %" for alpha in alphas]
    axes.set_xticks([column + 0.5 for column in range(len(alphas))], alpha_labels)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set(xlim=(0, len(alphas)), ylim=(most, 0))
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name_row(layer: Mapping[str, Any], point: Mapping[str, Any], width: float, size: float) -> str:
    """The layer, its tensor where it has several, and the shape of the picture where it fits."""
    rows, columns = layer["shape"]
    name = f"{layer['layer']}{name_piece(layer, point)}"
    text = f"{name}: {rows:,} × {columns:,}"
    return text if text_inches(text, size) <= width else name
