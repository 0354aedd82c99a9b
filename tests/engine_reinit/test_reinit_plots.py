"""The plots of the kind `reinit_sweep` draw the results, on the requested axis, in every format."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
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


def test_the_control_and_the_layers_are_drawn(sweep: Sweep, make_spec: SpecMaker) -> None:
    points = []
    for index, name in enumerate(("init", "zero")):
        parts = {"fractions_percent": FRACTIONS, "epochs": 1, "reset_to": {"name": name}}
        parts["modes"] = ["random", "active", "layer"]
        seed_results, _ = sweep(folder=f"run{index}", seeds=(0, 1), **parts)
        values = {"reset_to": {"name": name}}
        points.append(FinishedPoint(index, values, parse_spec(make_spec(**parts)), seed_results))
    results = LocalExperiment("title", points, [], KIND.summarize(points))
    figure = plots.draw("curves_log", plots.numbers("curves_log", results), PlotOptions())
    (axes,) = figure.axes
    dashed = [line for line in axes.lines if line.is_dashed()]
    assert len(dashed) == len(points)
    (legend,) = figure.legends
    texts = {text.get_text() for text in legend.get_texts()}
    assert {"as many at random", "net that is reset to"} <= texts

    numbers = plots.numbers("layer_robustness", results)
    assert numbers["layers"] == ["layers.0", "layers.1"]
    assert [len(row) for row in numbers["test_accuracy"]] == [2, 2]
    (image,) = plots.draw("layer_robustness", numbers, PlotOptions()).axes[0].images
    assert image.get_size() == (2, 2)


def test_a_curve_of_some_layers_ends_where_it_was_measured(
    sweep: Sweep, make_spec: SpecMaker
) -> None:
    parts = {"fractions_percent": FRACTIONS, "epochs": 3, "scope": ["layers.0"]}
    seed_results, _ = sweep(**parts)
    points = [FinishedPoint(0, {}, parse_spec(make_spec(**parts)), seed_results)]
    results = LocalExperiment("title", points, [], KIND.summarize(points))
    numbers = plots.numbers("curves_log", results)
    (point,) = numbers["points"]
    ends = {curve["mode"]: curve["mean"] for curve in point["curves"]}
    assert ends["active"][-1] == ends["lazy"][0] != point["random_test_accuracy"]
    figure = plots.draw("curves_log", numbers, PlotOptions())
    hollow = [
        float(np.asarray(line.get_ydata())[0])
        for axes in figure.axes
        for line in axes.lines
        if line.get_markerfacecolor() == "white"
    ]
    assert hollow == [100 * ends["active"][-1]] * 2
    assert "random net" not in {text.get_text() for text in figure.legends[0].get_texts()}
    (bar,) = plots.numbers("accuracy_bars", results)["points"]
    assert bar["initial_test_accuracy"]["mean"] == ends["active"][-1]


@pytest.mark.parametrize("modes", [["random"], ["random", "lazy"]])
def test_the_points_are_named_also_where_the_first_panel_has_the_control_only(
    sweep: Sweep, make_spec: SpecMaker, modes: list[str]
) -> None:
    points = []
    for index, width in enumerate((4, 8)):
        model = {"name": "relu_net", "width": width}
        parts = {"fractions_percent": FRACTIONS, "epochs": 1, "modes": modes, "model": model}
        seed_results, _ = sweep(folder=f"run{index}", **parts)
        values = {"model.width": width}
        points.append(FinishedPoint(index, values, parse_spec(make_spec(**parts)), seed_results))
    results = LocalExperiment("title", points, [], KIND.summarize(points))
    figure = plots.draw("curves_log", plots.numbers("curves_log", results), PlotOptions())
    texts = {text.get_text().removesuffix(" †") for text in figure.legends[0].get_texts()}
    assert {"width 4", "width 8", "as many at random"} <= texts


def test_a_sweep_without_layers_or_curves_says_so(results: LocalExperiment) -> None:
    figure = plots.draw(
        "layer_robustness", plots.numbers("layer_robustness", results), PlotOptions()
    )
    assert "No point has a result of the mode layer" in figure.texts[0].get_text()
