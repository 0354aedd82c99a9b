"""The heat map of layers reset as a whole, each alone (arXiv 1902.01996, Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.drawing.colors import cut_map
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.text import wrap
from engine.experiments.reinit_sweep.result import ReinitPointResult
from engine.kind import PlotInput
from engine.plotting import (
    PlotOptions,
    add_title,
    choose_points,
    describe_left_out,
    draw_legend,
    draw_message,
    new_figure,
)

COLUMN_INCHES, COLUMN_LETTERS = 1.0, 13
"""Width of a column, and how many letters of its label are in a line."""
DARK = 0.45
"""Below this accuracy the numbers are drawn in white."""
MOST_COLUMNS, MOST_FITTED = 17, 12
"""Points of one figure, and of one of a chosen width; the numbers hold all."""
ROW_INCHES, LINE_INCHES, LEAST_HEIGHT = 0.16, 0.1, 1.1
"""Of a layer in a figure of a chosen width, of a further line of its name, and of all layers."""
LAYER_SHARE, BESIDE_INCHES, KEY_LINES = 0.46, 1.0, 3
"""Most of the width for names of layers; inches of axis and colour bar; lines below a column."""


def layer_numbers(source: PlotInput) -> dict[str, Any]:
    """The accuracies by point and layer; null where a point has fewer layers or another mode."""
    points = []
    names: list[str] = []
    for point_result in source.summary:
        assert isinstance(point_result, ReinitPointResult)
        if point_result.layers:
            points.append(point_result)
            names += [one.name for one in point_result.layers if one.name not in names]
    return {
        "title": source.title,
        "points": [
            {"values": one.point, "n": one.test_accuracy.n, "outcome": one.outcome}
            for one in points
        ],
        "layers": names,
        "trained_test_accuracy": [one.test_accuracy.mean for one in points],
        "test_accuracy": [
            [
                {layer.name: layer.test_accuracy.mean for layer in one.layers}.get(name)
                for one in points
            ]
            for name in names
        ],
    }


def draw_layers(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A row for each layer, the first at the bottom; a column for each point.

    In a figure of a chosen width, columns with long names are numbered, with a key below.
    """
    if not numbers["points"]:
        return draw_message(options, "No point has a result of the mode layer")
    accuracies = numbers["trained_test_accuracy"]
    chosen = choose_points(accuracies, MOST_COLUMNS if options.width is None else MOST_FITTED)
    rows = [
        [float("nan") if row[place] is None else 100 * row[place] for place in chosen]
        for row in numbers["test_accuracy"]
    ]
    points = [numbers["points"][place] for place in chosen]
    all_names = name_with_marks(numbers["points"])
    names = [all_names[place] for place in chosen]
    figure = new_figure(options, 2.6 + COLUMN_INCHES * len(names), 1.5 + 0.42 * len(rows))
    axes = figure.subplots()
    scale = cut_map("viridis")
    image = axes.imshow(rows, origin="lower", aspect="auto", cmap=scale, vmin=0, vmax=100)
    axes.grid(visible=False)
    axes.set(ylabel="Layer that is reset")
    size, column = figure.text_size(7.5), 0.0
    if figure.is_fitted:
        column = _fit(figure, axes, names, numbers["layers"])
    else:
        axes.set_xticks(range(len(names)), [wrap(name, COLUMN_LETTERS) for name in names])
        axes.set_yticks(range(len(rows)), numbers["layers"])
    if not figure.is_fitted or text_inches("100.0", size) < column:
        _write_values(axes, rows, size)
    figure.colorbar(image, ax=axes, label="Test accuracy (%)")
    note = describe_seeds(point["n"] for point in points) + describe_marks(points)
    add_title(figure, numbers["title"], note + describe_left_out(chosen, numbers))
    return figure


def _write_values(axes: Axes, rows: Sequence[Sequence[float]], size: float) -> None:
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if value == value:  # not NaN
                axes.text(
                    column,
                    row,
                    f"{value:.1f}",
                    ha="center",
                    va="center",
                    fontsize=size,
                    color="white" if value < 100 * DARK else "black",
                )


def _fit(figure: PlotFigure, axes: Axes, names: Sequence[str], layers: Sequence[str]) -> float:
    """Name rows and columns within a chosen width. Returns the width of a column in inches."""
    size = figure.text_size(7.0)
    wrapped = [wrap_to(layer, LAYER_SHARE * figure.get_figwidth(), size) for layer in layers]
    lines = max(name.count("\n") + 1 for name in wrapped)
    axes.set_yticks(range(len(layers)), wrapped)
    height = max(LEAST_HEIGHT, len(layers) * (ROW_INCHES + (lines - 1) * LINE_INCHES))
    figure.set_panel_height([axes], height)
    beside = max(text_inches(name, size) for name in wrapped) + figure.scaled(BESIDE_INCHES)
    column = (figure.get_figwidth() - beside) / len(names)
    short = [wrap_to(name, column - size / POINTS, size) for name in names]
    widest = max(text_inches(word, size) for name in names for word in name.split())
    if widest <= column - size / POINTS and max(name.count("\n") for name in short) < KEY_LINES:
        axes.set_xticks(range(len(names)), short)
    else:
        numbers = [str(place) for place in range(1, len(names) + 1)]
        axes.set_xticks(range(len(names)), numbers)
        handles = [Line2D([], [], linestyle="none")] * len(names)
        labels = [f"{number}:  {name}" for number, name in zip(numbers, names, strict=True)]
        with rc_context({"legend.handlelength": 0.0, "legend.handletextpad": 0.0}):
            draw_legend(figure, handles, labels, 1)
    return column
