"""The drawings of the kind: what they draw is what the results hold, on the asked axis, in every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.reinit_sweep import plots
from engine.kind import FinishedPoint
from engine.plotting import PlotOptions, save
from engine.result import PointResult

KIND = get_kind("reinit_sweep")
FRACTIONS = [0, 0.5, 10, 100]


@dataclass
class Results:
    title: str
    points: Sequence[FinishedPoint]
    summary: Sequence[PointResult]


@pytest.fixture
def results(sweep: Callable[..., Any], make_spec: Callable[..., dict[str, Any]]) -> Results:
    points = []
    for index, width in enumerate((4, 8)):
        model = {"name": "relu_net", "width": width}
        parts = {"fractions_percent": FRACTIONS, "model": model, "epochs": 1}
        seed_results, _ = sweep(folder=f"run{index}", seeds=(0, 1), **parts)
        points.append(
            FinishedPoint(
                index, {"model.width": width}, parse_spec(make_spec(**parts)), seed_results
            )
        )
    return Results("a title of many words " * 12, points, KIND.summarize(points))


def test_every_plot_is_drawn_in_every_format(results: Results) -> None:
    for plot in KIND.plots:
        numbers = plots.numbers(plot.name, results)  # type: ignore[arg-type]
        for image_format in ("png", "svg", "pdf"):
            options = PlotOptions(dpi=50)
            assert save(plots.draw(plot.name, numbers, options), image_format, options)  # type: ignore[arg-type]


def test_the_curves_are_those_of_the_sheets_and_end_at_the_two_nets(results: Results) -> None:
    numbers = plots.numbers("curves_log", results)  # type: ignore[arg-type]
    for point, seed_result in zip(numbers["points"], results.summary, strict=True):
        active, lazy = point["curves"]
        assert active["mean"][0] == lazy["mean"][-1] == point["trained_test_accuracy"]
        assert active["mean"][-1] == lazy["mean"][0] == point["random_test_accuracy"]
        assert point["trained_test_accuracy"] == seed_result.test_accuracy.mean
    figure = plots.draw("curves_log", numbers, PlotOptions())
    (legend,) = figure.legends
    texts = [text.get_text().removesuffix(" †") for text in legend.get_texts()]
    assert sorted(texts) == ["random net", "trained net", "width 4", "width 8"]


@pytest.mark.parametrize(
    ("name", "asked", "drawn"),
    [
        ("curves_log", None, "symlog"),
        ("curves_linear", None, "linear"),
        ("curves_log", "linear", "linear"),
        ("curves_linear", "log", "symlog"),
    ],
)
def test_the_axis_is_that_of_the_plot_unless_another_is_asked_for(
    results: Results, name: str, asked: Any, drawn: str
) -> None:
    numbers = plots.numbers(name, results)  # type: ignore[arg-type]
    figure = plots.draw(name, numbers, PlotOptions(xscale=asked))
    assert [axes.get_xscale() for axes in figure.axes] == [drawn, drawn]


def test_without_results_the_plot_says_so() -> None:
    for plot in KIND.plots:
        assert plots.draw(plot.name, {"title": "none", "points": []}, PlotOptions()).texts
