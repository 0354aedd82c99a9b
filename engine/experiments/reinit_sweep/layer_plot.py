"""The heat map of layers reset as a whole, each alone (arXiv 1902.01996, Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.text import wrap
from engine.experiments.reinit_sweep.result import ReinitPointResult
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import PlotOptions, add_title, draw_message, new_figure

COLUMN_INCHES, COLUMN_LETTERS = 1.0, 13
"""Width of a column, and how many letters of its label are in a line."""
DARK = 0.45
"""Below this accuracy the numbers are drawn in white."""


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
    """A row for each layer, the first at the bottom; a column for each point."""
    if not numbers["points"]:
        return draw_message(options, "No point has a result of the mode layer")
    rows = [
        [float("nan") if value is None else 100 * value for value in row]
        for row in numbers["test_accuracy"]
    ]
    labels = label_points([point["values"] for point in numbers["points"]])
    figure = new_figure(options, 2.6 + COLUMN_INCHES * len(labels), 1.5 + 0.42 * len(rows))
    axes = figure.subplots()
    image = axes.imshow(rows, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=100)
    axes.grid(visible=False)
    axes.set_xticks(range(len(labels)), [wrap(label or "net", COLUMN_LETTERS) for label in labels])
    axes.set_yticks(range(len(rows)), numbers["layers"])
    axes.set(ylabel="Layer that is reset")
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if value == value:  # not NaN
                axes.text(
                    column,
                    row,
                    f"{value:.1f}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if value < 100 * DARK else "black",
                )
    figure.colorbar(image, ax=axes, label="Test accuracy (%)")
    seeds = sorted({point["n"] for point in numbers["points"]})
    counts = "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    add_title(figure, numbers["title"], "one seed" if seeds == [1] else f"mean of {counts} seeds")
    return figure
