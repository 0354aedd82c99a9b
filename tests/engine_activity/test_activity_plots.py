"""The plots of an activity map and the numbers that they draw."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from engine.context import RunContext
from engine.experiments.activity_map import KIND, maps, numbers
from engine.experiments.activity_map.result import summarize_points
from engine.experiments.activity_map.run import run
from engine.kind import FinishedPoint
from engine.local import LocalExperiment, LocalRunContext
from engine.plotting import PlotOptions, save
from tests.engine_activity.runner import Runner, SpecMaker


def run_point(spec: Any, ctx: RunContext, index: int, values: dict[str, Any]) -> FinishedPoint:
    return FinishedPoint(index, values, spec, run(spec, ctx))


@pytest.mark.parametrize(
    "model", [{"name": "relu_net", "depth": 2}, {"name": "conv_net", "depth": 2}]
)
def test_the_numbers_drawn_are_counts_over_epochs_and_seeds(
    runner: Runner, make_spec: SpecMaker, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = runner.context((0, 1))
    point = run_point(make_spec(model={**model, "width": 6}), ctx, 0, {})
    experiment = LocalExperiment("a title", [point], [ctx], summarize_points([point]))
    plots = KIND.load_plots()
    exact = [
        runner.counts(ctx, seed)[
            "10/layers.1.%s.weight" % ("linear" if model["name"] == "relu_net" else "conv")
        ]
        for seed in (0, 1)
    ]
    expected = sum(maps.lay_out(array) / 3 for array in exact) / 2
    for name in ("activity_map", "activity_map_max"):
        drawn = plots.numbers(name, experiment)["points"][0]["maps"][1]
        assert drawn["layer"] == 2
        assert drawn["bin_shape"] == [1, 1]
        np.testing.assert_allclose(
            drawn["frequency"]["10"], expected, rtol=0, atol=0.5 * 10**-numbers.DECIMALS
        )
    monkeypatch.setattr(numbers, "MAX_CELLS", 200)
    coarse = plots.numbers("activity_map", experiment)
    cells = [
        len(rows) * len(rows[0])
        for one in coarse["points"][0]["maps"]
        for rows in one["frequency"].values()
    ]
    assert sum(cells) <= 200
    finest = plots.numbers("activity_map_max", experiment)["points"][0]["maps"][1]["frequency"][
        "10"
    ]
    assert np.max(finest) <= 1.0


def test_every_plot_is_drawn_with_and_without_results_and_maps_are_images_in_vector_files(
    runner: Runner, make_spec: SpecMaker
) -> None:
    points: list[FinishedPoint] = []
    contexts: list[LocalRunContext] = []
    for index, width in enumerate((4, 8)):
        ctx = runner.context((0, 1))
        spec = make_spec(model={"name": "conv_net", "depth": 1, "width": width}, epochs=1)
        points.append(run_point(spec, ctx, index, {"model.width": width}))
        contexts.append(ctx)
    experiment = LocalExperiment("a title", points, contexts, summarize_points(points))
    nothing = LocalExperiment("a title", [], [], [])
    plots, options = KIND.load_plots(), PlotOptions(dpi=50)
    for info in KIND.plots:
        for source in (experiment, nothing):
            figure = plots.draw(info.name, plots.numbers(info.name, source), options)
            assert save(figure, "png", options).startswith(b"\x89PNG")
    maps_drawn = plots.draw("activity_map", plots.numbers("activity_map", experiment), options)
    assert save(maps_drawn, "pdf", options).startswith(b"%PDF")
    svg = save(maps_drawn, "svg", options)
    assert svg.count(b"data:image/png") >= 2 * 3 * 2  # each map is one image, not a path a cell


def test_the_titles_of_wide_layers_do_not_overlap() -> None:
    def make_map(layer: int) -> dict[str, Any]:
        return {
            "parameter": f"layers.{layer - 1}.linear.weight",
            "layer": layer,
            "weights": 25_000_000,
            "shape": [5000, 5000],
            "bin_shape": [40, 40],
            "frequency": {"1": [[0.5]]},
        }

    point = {
        "values": {"model.width": 5000},
        "outcome": "trained",
        "n": 5,
        "parameters": 75_000_000,
        "test_accuracy": {"mean": 0.9},
        "alphas_percent": [1.0],
        "maps": [make_map(layer) for layer in range(1, 6)],
    }
    drawn = {"title": "a title", "reduction": "max", "max_side": 125, "points": [point]}
    figure = KIND.load_plots().draw("activity_map_max", drawn, PlotOptions())
    figure.canvas.draw()
    extents = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert len(extents) == 5
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(extents))


def make_swept(*alphas: list[float]) -> dict[str, Any]:
    """Points that differ in their list of alphas; of each two layers of equal shares."""

    def statistic(mean: float) -> dict[str, Any]:
        return {"mean": mean, "standard_error": 0.01, "n": 3}

    def layer(keys: list[str]) -> dict[str, Any]:
        return {
            "parameter_share": 0.5,
            "share": {key: statistic(0.5) for key in keys},
            "concentration": {key: statistic(1.0) for key in keys},
        }

    points = [
        {
            "values": {"alphas_percent": one},
            "outcome": "trained",
            "n": 3,
            "parameters": 100,
            "test_accuracy": statistic(0.9),
            "alphas_percent": one,
            "layers": [layer([f"{alpha:g}" for alpha in one]) for _ in range(2)],
        }
        for one in alphas
    ]
    return {"title": "a title", "points": points}


@pytest.mark.parametrize("width", [None, "column"])
def test_one_shade_is_one_alpha_and_the_legend_has_those_of_all_points(width: Any) -> None:
    figure = KIND.load_plots().draw(
        "layer_shares", make_swept([1.0], [10.0, 30.0], [1.0, 30.0]), PlotOptions(width=width)
    )
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["share of the parameters", *(rf"$\alpha$ = {one} %" for one in (1, 10, 30))]
    one, ten, thirty = (handle.get_facecolor() for handle in legend.legend_handles[1:])
    drawn = [[bars[0].get_facecolor() for bars in axes.containers[1::2]] for axes in figure.axes]
    assert drawn[:3] == [[one], [ten, thirty], [one, thirty]]
    assert len({one, ten, thirty}) == 3


@pytest.mark.parametrize("width", [None, "column"])
def test_the_legend_of_the_concentration_has_the_points_of_every_panel(width: Any) -> None:
    figure = KIND.load_plots().draw(
        "concentration", make_swept([1.0], [10.0, 30.0]), PlotOptions(width=width)
    )
    (legend,) = figure.legends
    first, second, *_ = (text.get_text() for text in legend.get_texts())
    assert (first, second) == ("alphas_percent [1]", "alphas_percent [10, 30]")
    colors = [handle.get_color() for handle in legend.legend_handles[:2]]
    assert colors == [axes.lines[0].get_color() for axes in figure.axes[:2]]
