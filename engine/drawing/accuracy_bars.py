"""Stacked bars of accuracy: at initialisation, and gained by training (Figures 4 and 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Protocol, cast

from matplotlib.figure import Figure

from engine.drawing.text import wrap
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import PlotOptions, add_legend, add_title, error_bar, new_figure
from engine.result import Statistic

DARK, LIGHT = "#08519C", "#9ECAE1"
MOST_UPRIGHT = 5
"""More names than this are slanted."""
SLANTED_LETTERS = 24
"""Letters of a line of a slanted name."""
AXIS_INCHES = 0.8
NAME_LETTER_INCHES = 0.06


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


def wrap_bar_names(figure: Figure, names: Sequence[str]) -> list[str]:
    """The names of bars, `net` for an empty one; broken into lines that do not touch each other."""
    pitch = (figure.get_figwidth() - AXIS_INCHES) / max(1, len(names))
    letters = int(pitch / NAME_LETTER_INCHES) if len(names) <= MOST_UPRIGHT else SLANTED_LETTERS
    return [wrap(name or "net", letters) for name in names]


def draw_accuracy_bars(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """One bar per point: dark at initialisation, light for the gain, one standard error on top."""
    points = numbers["points"]
    figure = new_figure(options, max(4.5, 1.6 + 0.85 * len(points)), 4.0)
    axes = figure.subplots()
    places = range(len(points))
    start = [100 * point["initial_test_accuracy"]["mean"] for point in points]
    end = [100 * point["test_accuracy"]["mean"] for point in points]
    error = [error_bar(point["test_accuracy"], 100) for point in points]
    axes.bar(places, start, 0.7, color=DARK, label="at initialisation")
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
    names = label_points([point["values"] for point in points])
    axes.set_xticks(list(places), wrap_bar_names(figure, names))
    if len(points) > MOST_UPRIGHT:
        axes.tick_params(axis="x", rotation=30)
    axes.set(ylim=(0, 110), ylabel="Test accuracy (%)")
    add_title(figure, numbers["title"])
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="x", visible=False)
    add_legend(figure, axes)
    if any(point["outcome"] != "trained" for point in points):
        figure.text(0.99, 0.99, "† not trained", ha="right", va="top", fontsize=8)
    return figure
