"""Stacked bars of accuracy: at initialisation, and gained by training (Figures 4 and 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Protocol, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.drawing.bars import choose_bars, draw_rows, fits_columns
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import wrap_to
from engine.drawing.text import wrap
from engine.kind import PlotInput
from engine.labels import name_points
from engine.plotting import (
    PlotOptions,
    add_legend,
    add_title,
    describe_left_out,
    error_bar,
    new_figure,
)
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
LEAST_FILLED = 9.0
"""Percent that a bar needs to hold its value in a figure of a chosen width."""
PANEL_INCHES = 1.8
"""Height of the axes in a figure of a chosen width where bars are columns."""


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


def draw_bar_names(figure: PlotFigure, axes: Axes, names: Sequence[str]) -> None:
    """Name the bars at 0, 1, ...: upright if they fit, else slanted, and vertical if long."""
    pitch = (figure.get_figwidth() - AXIS_INCHES) / len(names)
    if figure.is_fitted:
        size = figure.text_size(7.0)
        axes.set_xticks(range(len(names)), [wrap_to(name, 0.95 * pitch, size) for name in names])
        return
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

    `numbers["start"]` says which net the start is; without it, the one before the first step. In a
    figure of a chosen width with little room the bars are rows.
    """
    all_points = numbers["points"]
    labels = [label or "net" for label in name_points(all_points)]
    scores = [point["test_accuracy"]["mean"] for point in all_points]
    chosen = choose_bars(scores, options, labels)
    points = [all_points[place] for place in chosen]
    names = [labels[place] for place in chosen]
    figure = new_figure(options, max(4.5, 1.6 + 0.85 * len(points)), 4.0 + name_height(names))
    axes = figure.subplots()
    start_label = numbers.get("start", AT_INITIALISATION)
    if fits_columns(figure, names, ["100.0†"]):
        _draw_columns(figure, axes, points, names, start_label)
    else:
        _draw_rows(figure, axes, points, names, start_label)
    untrained = "† not trained" if any(_mark(point) for point in points) else ""
    left_out = describe_left_out(points, numbers).removeprefix("; ")
    if figure.is_fitted:
        add_title(figure, numbers["title"], "; ".join(filter(None, (untrained, left_out))))
    else:
        add_title(figure, numbers["title"], left_out)
        figure.text(0.99, 0.99, untrained, ha="right", va="top", fontsize=8)
    add_legend(figure, axes)
    return figure


def _mark(point: Mapping[str, Any]) -> str:
    return "" if point["outcome"] == "trained" else "†"


def _measure(points: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float], list[float]]:
    """Percent at the start, gained by training, and of one standard error at the end."""
    start = [100 * point["initial_test_accuracy"]["mean"] for point in points]
    end = [100 * point["test_accuracy"]["mean"] for point in points]
    gain = [b - a for a, b in zip(start, end, strict=True)]
    return start, gain, [error_bar(point["test_accuracy"], 100) for point in points]


def _draw_columns(
    figure: PlotFigure,
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    start_label: str,
) -> None:
    start, gain, error = _measure(points)
    end = [100 * point["test_accuracy"]["mean"] for point in points]
    places = range(len(points))
    axes.bar(places, start, 0.7, color=DARK, label=start_label)
    axes.bar(places, gain, 0.7, bottom=start, color=LIGHT, label="gained by training")
    axes.errorbar(
        places,
        end,
        yerr=error,
        fmt="none",
        ecolor="black",
        capsize=figure.scaled(3),
        label="one standard error",
    )
    size = figure.text_size(9.0)
    for place, low, high, margin, point in zip(places, start, end, error, points, strict=True):
        axes.text(
            place,
            low / 2,
            f"{low:.1f}" if low > LEAST_FILLED or not figure.is_fitted else "",
            ha="center",
            va="center",
            color="white",
            fontweight="bold",
            fontsize=size,
        )
        above = 0.0 if isnan(margin) else margin
        text = f"{high:.1f}{_mark(point)}"
        axes.text(place, max(low, high) + above + 1, text, ha="center", va="bottom", fontsize=size)
    draw_bar_names(figure, axes, names)
    axes.set(ylim=(0, 115 if figure.is_fitted else 110), ylabel="Test accuracy (%)")
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="x", visible=False)
    figure.set_panel_height([axes], PANEL_INCHES)


def _draw_rows(
    figure: PlotFigure,
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    start_label: str,
) -> None:
    start, gain, error = _measure(points)
    places = range(len(points))
    axes.barh(places, start, 0.7, color=DARK, label=start_label)
    axes.barh(places, gain, 0.7, left=start, color=LIGHT, label="gained by training")
    axes.errorbar(
        [low + more for low, more in zip(start, gain, strict=True)],
        places,
        xerr=error,
        fmt="none",
        ecolor="black",
        capsize=figure.scaled(1.5),
        elinewidth=figure.scaled(0.8),
        label="one standard error",
    )
    values = [
        f"{low:.1f} → {low + more:.1f}{_mark(point)}"
        for low, more, point in zip(start, gain, points, strict=True)
    ]
    draw_rows(figure, axes, names, values)
    axes.set(xlim=(0, 100), xlabel="Test accuracy (%)")
