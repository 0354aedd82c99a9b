"""The plots of the kind `reinit_sweep` draw the results, on the requested axis, in every format."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.reinit_sweep import plots
from engine.kind import FinishedPoint
from engine.local import LocalExperiment
from engine.plotting import ImageFormat, PlotOptions, save
from tests.engine_reinit.watched_context import SpecMaker, Sweep

KIND = get_kind("reinit_sweep")
FRACTIONS = [0, 0.5, 10, 100]


@pytest.fixture
def results(sweep: Sweep, make_spec: SpecMaker) -> LocalExperiment:
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
    return LocalExperiment("a title of many words " * 12, points, [], KIND.summarize(points))


def test_every_plot_is_drawn_in_every_format(results: LocalExperiment) -> None:
    for plot in KIND.plots:
        numbers = plots.numbers(plot.name, results)
        for image_format in get_args(ImageFormat):
            options = PlotOptions(dpi=50)
            assert save(plots.draw(plot.name, numbers, options), image_format, options)


def test_the_curves_equal_the_results_and_end_at_the_two_nets(results: LocalExperiment) -> None:
    numbers = plots.numbers("curves_log", results)
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
    ("name", "requested", "drawn"),
    [
        ("curves_log", None, "symlog"),
        ("curves_linear", None, "linear"),
        ("curves_log", "linear", "linear"),
        ("curves_linear", "log", "symlog"),
    ],
)
def test_the_axis_is_that_of_the_plot_unless_another_is_requested(
    results: LocalExperiment, name: str, requested: Any, drawn: str
) -> None:
    numbers = plots.numbers(name, results)
    figure = plots.draw(name, numbers, PlotOptions(xscale=requested))
    assert [axes.get_xscale() for axes in figure.axes] == [drawn, drawn]


def test_a_plot_without_results_shows_a_message() -> None:
    for plot in KIND.plots:
        assert plots.draw(plot.name, {"title": "none", "points": []}, PlotOptions()).texts
