"""Stacked bars of accuracy: at initialisation, and gained by training (Figures 4 and 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Protocol, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.drawing.text import wrap
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import PlotOptions, add_legend, add_title, error_bar, new_figure
from engine.result import Statistic

DARK, LIGHT = "#08519C", "#9ECAE1"
MOST_UPRIGHT, MOST_LINES = 5, 3
"""Names of bars are upright if there are no more of them, with no more lines each."""
AT_INITIALISATION = "at initialisation"
SLANTED_LETTERS = 24
"""Longer names are vertical where they cannot be upright."""
VERTICAL, VERTICAL_LETTERS, VERTICAL_INCHES = 90, 36, 1.6
"""Rotation of a vertical name, letters of its line, and inches that it adds to the figure."""
AXIS_INCHES, NAME_LETTER_INCHES, USUAL_LETTERS = 0.8, 0.06, 12
"""Width beside the bars, of a letter, and letters of an upright line at the default size."""


class _AccuracyResult(Protocol):
    """The fields that a kind's point result must have."""

    point: dict[str, Any]
    initial_test_accuracy: Statistic
    test_accuracy: Statistic
    outcome: str


def accuracy_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "points"}`: each point's accuracy at initialisation and at the end, in [0, 1]."""
    points = []
    for point_result in source.summary:
        accuracies = cast(_AccuracyResult, point_result)
        points.append(
            {
                "values": accuracies.point,
                "initial_test_accuracy": accuracies.initial_test_accuracy.model_dump(),
                "test_accuracy": accuracies.test_accuracy.model_dump(),
                "outcome": accuracies.outcome,
            }
        )
    return {"title": source.title, "points": points}


def draw_bar_names(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Name the bars at 0, 1, ...: upright if they fit, else slanted, and vertical if long."""
    pitch = (figure.get_figwidth() - AXIS_INCHES) / len(names)
    wrapped, rotation = _turn(names, int(pitch / NAME_LETTER_INCHES))
    axes.set_xticks(range(len(names)), wrapped)
    if rotation:
        axes.tick_params(axis="x", rotation=rotation)


def name_height(names: Sequence[str]) -> float:
    """Inches that a figure needs for vertical names beyond the height of one without them."""
    _, rotation = _turn(names, USUAL_LETTERS)
    return VERTICAL_INCHES if rotation == VERTICAL else 0.0


def _turn(names: Sequence[str], letters: int) -> tuple[list[str], int]:
    """The names in lines of at most `letters` where they are upright, and their rotation."""
    upright = [wrap(name, letters) for name in names]
    longest_word = max(len(word) for name in names for word in name.split())
    most_lines = max(name.count("\n") + 1 for name in upright)
    if len(names) <= MOST_UPRIGHT and longest_word <= letters and most_lines <= MOST_LINES:
        return upright, 0
    if max(map(len, names)) <= SLANTED_LETTERS:
        return list(names), 30
    return [wrap(name, VERTICAL_LETTERS) for name in names], VERTICAL


def draw_accuracy_bars(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """One bar per point: dark at the start, light for the gain, one standard error on top.

    `numbers["start"]` says which net the start is; without it, the one before the first step.
    """
    points = numbers["points"]
    names = [label or "net" for label in label_points([point["values"] for point in points])]
    figure = new_figure(options, max(4.5, 1.6 + 0.85 * len(points)), 4.0 + name_height(names))
    axes = figure.subplots()
    places = range(len(points))
    start = [100 * point["initial_test_accuracy"]["mean"] for point in points]
    start_label = numbers.get("start", AT_INITIALISATION)
    end = [100 * point["test_accuracy"]["mean"] for point in points]
    error = [error_bar(point["test_accuracy"], 100) for point in points]
    axes.bar(places, start, 0.7, color=DARK, label=start_label)
    gain = [b - a for a, b in zip(start, end, strict=True)]
    axes.bar(places, gain, 0.7, bottom=start, color=LIGHT, label="gained by training")
    axes.errorbar(
        places, end, yerr=error, fmt="none", ecolor="black", capsize=3, label="one standard error"
    )
    for place, low, high, margin, point in zip(places, start, end, error, points, strict=True):
        axes.text(
            place, low / 2, f"{low:.1f}", ha="center", va="center", color="white", fontweight="bold"
        )
        mark = "†" if point["outcome"] != "trained" else ""
        above = 0.0 if isnan(margin) else margin
        axes.text(place, max(low, high) + above + 1, f"{high:.1f}{mark}", ha="center", va="bottom")
    draw_bar_names(figure, axes, names)
    axes.set(ylim=(0, 110), ylabel="Test accuracy (%)")
    add_title(figure, numbers["title"])
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="x", visible=False)
    add_legend(figure, axes)
    if any(point["outcome"] != "trained" for point in points):
        figure.text(0.99, 0.99, "† not trained", ha="right", va="top", fontsize=8)
    return figure
