"""The plot of probes draws what was measured; the reading names the regime by its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from engine.answer_table import tabulate_answers
from engine.drawing.fitting import draw_plot, has_overlaps
from engine.experiments.registry import get_kind
from engine.findings import describe_findings
from engine.local import LocalExperiment, run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import PlotOptions
from engine.probes.plot import PROBE_PLOT
from engine.probes.quantities import QUANTITIES
from engine.probes.reading import describe_regimes, name_regime
from engine.result import Statistic

KIND = get_kind("train")
SPEC: dict[str, Any] = {
    "kind": "train",
    "data": {"name": "digits", "train_size": 200, "test_size": 100},
    "model": {"name": "relu_net", "width": 8},
    "epochs": 2,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> LocalExperiment:
    folder = tmp_path_factory.mktemp("probes")
    body = {"spec": {**SPEC, "probes": {}}, "sweep": {"init.gain": [1, 2]}}
    return run_local(body, folder, seeds=[0, 1], data_dir=folder, device="cpu")


def test_the_plot_holds_the_mean_of_the_metrics(measured: LocalExperiment) -> None:
    numbers = plot_numbers(KIND, "probes", measured)
    assert [one["name"] for one in numbers["quantities"]] == [one.name for one in QUANTITIES]
    for point, context in zip(numbers["points"], measured.contexts, strict=True):
        for name, curve in point["curves"].items():
            assert curve["epoch"] == [0, 1, 2]
            seeds = [series[name] for series in context.metrics().values()]
            assert curve["mean"] == [
                pytest.approx(sum(one[epoch] or 0.0 for one in seeds) / 2) for epoch in range(3)
            ]
    assert numbers["points"][0]["label"] == "gain 1"


def test_the_plot_holds_the_layers_after_the_last_epoch(measured: LocalExperiment) -> None:
    numbers = plot_numbers(KIND, "probes", measured)
    for point, result in zip(numbers["points"], measured.summary, strict=True):
        assert set(point["layers"]) == {"movement", "cosine", "cka", "relu_flips"}
        for name, lists in point["layers"].items():
            assert lists["layer"] == ([0] if name == "relu_flips" else [0, 1])
            for layer, mean, error in zip(
                lists["layer"], lists["mean"], lists["standard_error"], strict=True
            ):
                statistic = result.probes[f"{name}_layer_{layer}"]
                assert (mean, error) == (statistic.mean, statistic.standard_error)
    first, second = numbers["points"]
    assert first["layers"]["movement"] != second["layers"]["movement"]


@pytest.mark.parametrize("size", [{}, {"width": 2.0}, {"width": 7.0, "height": 9.0}])
@pytest.mark.parametrize("scale", [None, "log"])
def test_the_plot_is_drawn_at_any_size(
    measured: LocalExperiment, size: dict[str, Any], scale: Any
) -> None:
    options = PlotOptions(dpi=50, xscale=scale, yscale=scale, **size)
    figure = draw_plot(KIND.load_plots(), "probes", plot_numbers(KIND, "probes", measured), options)
    panels = [axes for axes in figure.axes if axes.get_ylabel()]
    assert len(panels) == len(QUANTITIES) + sum(one.has_layers for one in QUANTITIES)
    assert all(len(axes.lines) == 2 for axes in panels)
    assert not has_overlaps(figure)


def test_an_experiment_without_probes_says_what_turns_them_on(tmp_path: Path) -> None:
    plain = run_local({"spec": SPEC}, tmp_path, seeds=[0], data_dir=tmp_path, device="cpu")
    assert PROBE_PLOT.explain_absence(plain) == (
        'the experiment measures no regime; `"probes": {}` in the spec does'
    )
    assert not (tmp_path / "probes.png").exists()


def test_a_swept_quantity_of_probes_is_drawn_over_the_sweep(measured: LocalExperiment) -> None:
    numbers = plot_numbers(KIND, "sweep_quantity", measured, quantity="kernel_distance")
    means = [point["mean"] for point in numbers["points"]]
    assert means == [point.probes["kernel_distance"].mean for point in measured.summary]


def test_findings_tell_the_regime(measured: LocalExperiment) -> None:
    points = measured.point_results
    table = tabulate_answers("t", points, [KIND.read_answer(point) for point in points])
    sentence = describe_findings(table)[1]
    assert sentence.startswith("The tangent kernel moved by ")
    assert " at gain 1" in sentence
    assert " at gain 2" in sentence


@pytest.mark.parametrize(
    ("distance", "regime"),
    [
        (0.0, "lazy"),
        (0.0999, "lazy"),
        (0.1, "between lazy and rich"),
        (0.316, "between lazy and rich"),
        (0.317, "rich"),
        (0.61, "rich"),
        (30.0, "rich"),
    ],
)
def test_the_regime_is_the_order_of_magnitude_of_the_distance(distance: float, regime: str) -> None:
    assert name_regime(distance) == regime


def statistic(mean: float, low: float, high: float) -> Statistic:
    return Statistic(mean=mean, standard_error=(high - mean) / 4, ci95=(low, high), n=3)


def test_one_sentence_tells_one_point_or_the_extremes() -> None:
    one, wide = statistic(0.61, 0.57, 0.65), statistic(0.09, 0.05, 0.13)
    assert describe_regimes([]) == []
    assert describe_regimes([("a", one)]) == [
        "The tangent kernel moved by 61.0 % (95 % interval 57.0 to 65.0, n = 3): rich."
    ]
    (sentence,) = describe_regimes([("a", one), ("b", wide), ("c", statistic(0.2, 0.15, 0.25))])
    assert ": lazy or between lazy and rich at b" in sentence
    assert sentence.endswith(": rich at a.")


def test_a_single_seed_has_the_word_of_its_value() -> None:
    alone = Statistic(mean=0.05, standard_error=None, ci95=None, n=1)
    assert describe_regimes([("a", alone)]) == ["The tangent kernel moved by 5 % (n = 1): lazy."]


def test_the_bars_of_the_time_hold_that_of_the_probes(measured: LocalExperiment) -> None:
    numbers = plot_numbers(KIND, "timings", measured)
    for point, result in zip(numbers["points"], measured.point_results, strict=True):
        probes = result["timings"]["probe_seconds"]["mean"]
        assert point["seconds"]["probe"] == probes > 0
    figure = draw_plot(KIND.load_plots(), "timings", numbers, PlotOptions())
    assert "probes" in [text.get_text() for text in figure.legends[0].get_texts()]
    ends = [
        max(bars[place].get_x() + bars[place].get_width() for bars in list_bars(figure))
        for place in range(2)
    ]
    assert ends == [pytest.approx(sum(point["seconds"].values())) for point in numbers["points"]]


def list_bars(figure: Figure) -> list[Any]:
    return list(figure.axes[0].containers)


def test_the_legend_has_points_without_the_first_quantity(measured: LocalExperiment) -> None:
    numbers = plot_numbers(KIND, "probes", measured)
    del numbers["points"][1]["curves"][numbers["quantities"][0]["name"]]
    figure = draw_plot(KIND.load_plots(), "probes", numbers, PlotOptions())
    labels = [text.get_text().removesuffix(" †") for text in figure.legends[0].get_texts()]
    assert labels == ["gain 1", "gain 2"]
