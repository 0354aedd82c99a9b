"""The plots of every sweep: which apply, what they draw, and that it equals what was computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from engine.drawing.fitting import draw_plot
from engine.drawing.sweep_lines import GREY, spread_apart
from engine.errors import InvalidSpec
from engine.experiments.registry import get_kind
from engine.kind import FinishedPoint
from engine.local import LocalExperiment, run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import PlotOptions
from tests.every_kind.made_experiments import MadeExperiment

KIND = get_kind("train")
PLOTS = {plot.name: plot for plot in KIND.plots}
WIDTH, RATE, DEPTH = "model.width", "optimizer.lr", "model.depth"
ADAM, SGD = {"name": "adam", "lr": 0.1}, {"name": "sgd", "lr": 0.1}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> LocalExperiment:
    """One computed run; its results are those of every point, with another accuracy."""
    folder: Path = tmp_path_factory.mktemp("train")
    return run_local(
        dict(KIND.example), folder, seeds=[0], data_dir=folder, device="cpu", allow_download=False
    )


Make = Callable[..., MadeExperiment]


@pytest.fixture
def make(example: LocalExperiment) -> Make:
    def build(
        values: Sequence[Mapping[str, Any]], accuracies: Sequence[Sequence[float]] = ()
    ) -> MadeExperiment:
        """accuracies: of each point's seeds; 0.3 and more with the index by default."""
        base = example.points[0].results[0].model_dump(mode="json")
        points = []
        for index, one in enumerate(values):
            found = accuracies[index] if accuracies else [0.3 + index / 1000, 0.32 + index / 1000]
            results = [
                KIND.seed_result.model_validate(base | {"seed": seed, "test_accuracy": accuracy})
                for seed, accuracy in enumerate(found)
            ]
            points.append(FinishedPoint(index, one, example.points[0].spec, results))
        return MadeExperiment(KIND, example, points=points)

    return build


def grid(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    names = {"width": WIDTH, "rate": RATE, "depth": DEPTH, "optimizer": "optimizer"}
    paths = [names[name] for name in axes]
    return [dict(zip(paths, values, strict=True)) for values in product(*axes.values())]


def numbers_of(experiment: MadeExperiment, name: str, **options: Any) -> dict[str, Any]:
    found = plot_numbers(KIND, name, experiment, **options)
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def draw(experiment: MadeExperiment, name: str, **options: Any) -> Figure:
    numbers = numbers_of(experiment, name, for_picture=True)
    return draw_plot(KIND.load_plots(), name, numbers, PlotOptions(dpi=50, **options))


def xs(line: Any) -> list[float]:
    return [float(x) for x in line.get_xdata()]


def ys(line: Any) -> list[float]:
    return [float(y) for y in line.get_ydata()]


def applying(experiment: MadeExperiment) -> set[str]:
    return {
        name
        for name, plot in PLOTS.items()
        if plot.is_of_sweep and plot.explain_absence(experiment) is None
    }


def test_each_plot_applies_to_sweeps_that_it_can_show(make: Make) -> None:
    assert applying(make([{}])) == set()
    assert applying(make(grid(width=[10, 20]))) == {"sweep_quantity"}
    two = grid(width=[10, 20], rate=[0.1, 0.2])
    assert applying(make(two)) == {"sweep_quantity", "sweep_map"}
    three = grid(width=[10, 20], rate=[0.1, 0.2], depth=[1, 2])
    assert applying(make(three)) == {"sweep_quantity", "sweep_parallel"}


def test_the_reason_says_what_is_missing(make: Make) -> None:
    diagonal = make([{WIDTH: 10 * place, RATE: 0.1 * place} for place in range(1, 5)])
    assert applying(diagonal) == {"sweep_quantity"}
    reason = PLOTS["sweep_map"].explain_absence(diagonal)
    assert reason == "the values of width and lr make 16 cells, and only 4 have a point"
    one = make([{}])
    assert "one point" in (PLOTS["sweep_quantity"].explain_absence(one) or "")
    reason = PLOTS["sweep_parallel"].explain_absence(diagonal)
    assert reason == "it needs 3 or more swept fields, and the experiment has 2"


def test_the_numbers_are_those_of_the_answer(make: Make) -> None:
    experiment = make(grid(width=[10, 20], rate=[0.1, 0.2, 0.3]))
    for name in applying(experiment):
        numbers = numbers_of(experiment, name)
        assert numbers["quantity"]["name"] == "test_accuracy"
        assert numbers["num_points"] == len(numbers["points"]) == 6
        for point, result in zip(numbers["points"], experiment.point_results, strict=True):
            statistic = result["test_accuracy"]
            assert {key: point[key] for key in statistic} == json.loads(json.dumps(statistic))
            assert point["values"] == result["point"]


def test_lines_are_drawn_at_the_computed_values_with_their_intervals(make: Make) -> None:
    experiment = make(grid(width=[10, 20], rate=[0.1, 0.2, 0.3]))
    axes, *_ = draw(experiment, "sweep_quantity").axes
    lines = [line for line in axes.lines if line.get_label() in ("width 10", "width 20")]
    results = [result["test_accuracy"] for result in experiment.point_results]
    for line, found in zip(lines, (results[:3], results[3:]), strict=True):
        assert xs(line) == pytest.approx([0.1, 0.2, 0.3], abs=0.005), "beside the other line"
        assert ys(line) == [100 * one["mean"] for one in found]
    bars = [one for one in axes.collections if isinstance(one, LineCollection)]
    drawn = [segment for one in bars for segment in one.get_segments()]
    assert len(drawn) == 6
    for segment, one in zip(drawn, results, strict=True):
        low, high = (100 * end for end in one["ci95"])
        assert [float(y) for _, y in segment] == pytest.approx([low, high], rel=1e-12)


def test_intervals_of_several_lines_stand_apart_beside_the_swept_value(make: Make) -> None:
    rates = [0.001, 0.003, 0.01, 0.03, 0.1]
    for figure_width in ("column", "text", None):
        experiment = make(grid(width=[10, 20, 30, 40], rate=rates))
        (axes,) = draw(experiment, "sweep_quantity", width=figure_width).axes
        places = [
            xs(line)
            for line in axes.lines
            if len(xs(line)) == 5 and not str(line.get_label()).startswith("_")
        ]
        assert len(places) == 4
        shown = axes.transData.transform(
            [(x, 0.5) for one in zip(*places, strict=True) for x in one]
        )[:, 0]
        steps = [float(after - before) for before, after in pairwise(shown)]
        (apart, *_) = steps
        assert apart > 1.0, "pixels"
        assert steps[3] > 2 * apart, "lines at one value are nearer than the values"
        middle = [(one[1] * one[2]) ** 0.5 for one in zip(*places, strict=True)]
        assert middle == pytest.approx(rates), "on a logarithmic axis"


def test_losses_far_apart_have_a_logarithmic_axis_and_accuracies_never(make: Make) -> None:
    experiment = make([{WIDTH: width} for width in (10, 20)], [[0.011, 0.01101], [0.9, 0.92]])
    for unit, scale in (("accuracy", "linear"), ("share", "linear"), ("loss", "log"), ("", "log")):
        numbers = numbers_of(experiment, "sweep_quantity")
        numbers["quantity"]["unit"] = unit
        (axes,) = draw_plot(KIND.load_plots(), "sweep_quantity", numbers, PlotOptions()).axes
        assert axes.get_yscale() == scale
    distances = numbers_of(experiment, "sweep_quantity")
    distances["quantity"]["unit"] = "share"
    distances["points"][1] |= {"mean": 13.0, "ci95": [12.0, 14.0]}
    (axes,) = draw_plot(KIND.load_plots(), "sweep_quantity", distances, PlotOptions()).axes
    assert axes.get_yscale() == "log", "a kernel that has moved by 1300 %"
    numbers["points"][0] |= {"mean": 0.04, "ci95": [0.039, 0.041]}
    (axes,) = draw_plot(KIND.load_plots(), "sweep_quantity", numbers, PlotOptions()).axes
    assert axes.get_yscale() == "linear", "0.91 is less than 30 times 0.04"


def test_swept_numbers_below_zero_have_a_logarithmic_axis_on_demand(make: Make) -> None:
    (axes,) = draw(make(grid(width=[-1, 1, 2])), "sweep_quantity", xscale="log").axes
    assert axes.get_xscale() == "log"


def test_a_map_has_the_values_in_the_order_of_numbers(make: Make) -> None:
    experiment = make(grid(width=[20, 10], rate=[0.3, 0.1, 0.2]))
    axes, *_ = draw(experiment, "sweep_map").axes
    cells = axes.images[0].get_array()
    means = [100 * result["test_accuracy"]["mean"] for result in experiment.point_results]
    assert cells is not None
    assert cells.tolist() == [
        [means[4], means[5], means[3]],
        [means[1], means[2], means[0]],
    ]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.3"]


def test_parallel_coordinates_have_a_line_for_each_point_in_the_colour_of_its_value(
    make: Make,
) -> None:
    experiment = make(grid(width=[10, 20], rate=[0.1, 0.2], depth=[1, 2]))
    axes, *_ = draw(experiment, "sweep_parallel").axes
    lines = next(one for one in axes.collections if isinstance(one, LineCollection))
    assert len(lines.get_segments()) == 8
    assert len({str(color) for color in lines.get_colors()}) == 8
    assert [text.get_text() for text in axes.get_yticklabels()] == ["width", "lr", "depth"]
    (best,) = (line for line in axes.lines if line.get_color() == "black")
    assert [x > 0.5 for x in xs(best)] == [True, True, True]


def test_fields_without_numbers_are_rows_with_the_best_on_top(make: Make) -> None:
    experiment = make(grid(optimizer=[ADAM, SGD]), [[0.5, 0.6], [0.7, 0.8]])
    figure = draw(experiment, "sweep_quantity")
    axes, *_ = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["sgd", "adam"]
    (line,) = (line for line in axes.lines if line.get_marker() == "o")
    assert ys(line) == [0, 1]
    means = [100 * result["test_accuracy"]["mean"] for result in experiment.point_results]
    assert xs(line) == means[::-1]
    assert "longer bars are cut off" in figure.get_suptitle()


def test_many_lines_are_few_in_colour_and_the_rest_grey(make: Make) -> None:
    experiment = make(grid(width=list(range(10, 210, 10)), rate=list(range(1, 31))))
    figure = draw(experiment, "sweep_quantity")
    colored = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("width")]
    assert len(colored) == 8
    told = " ".join(figure.get_suptitle().split())
    assert "8 of 20 lines in colour: the 3 best, the worst and 4 between" in told


def test_a_quantity_is_chosen_by_its_name(make: Make) -> None:
    experiment = make(grid(width=[10, 20]))
    numbers = numbers_of(experiment, "sweep_quantity", quantity="train_loss")
    assert numbers["quantity"] == {
        "name": "train_loss",
        "title": "train loss",
        "unit": "loss",
        "better": "lower",
    }
    assert [point["mean"] for point in numbers["points"]] == [
        result["train_loss"]["mean"] for result in experiment.point_results
    ]


def test_an_unknown_quantity_is_an_error_with_the_known_ones(make: Make) -> None:
    experiment = make(grid(width=list(range(10, 210, 10))))
    for name in ("sweep_quantity", "learning_curve"):
        with pytest.raises(InvalidSpec) as caught:
            plot_numbers(KIND, name, experiment, quantity="beauty", for_picture=True)
        (error,) = caught.value.errors
        assert error.pointer == "#/query/quantity"
        assert "test_accuracy, train_loss" in error.detail


def test_curves_of_many_points_are_a_chosen_few_with_the_labels_of_all(make: Make) -> None:
    experiment = make(grid(width=[10, 20], rate=[place / 100 for place in range(1, 101)]))
    numbers = numbers_of(experiment, "learning_curve", for_picture=True)
    assert len(numbers["points"]) == 6
    assert numbers["num_points"] == 200
    assert numbers["chosen"] == "the 3 best, the worst and 2 between by test accuracy"
    assert [point["label"] for point in numbers["points"]][-1] == "width 20, lr 1"
    figure = draw(experiment, "learning_curve")
    told = " ".join(figure.get_suptitle().split())
    assert "6 of 200 points are drawn: the 3 best, the worst and 2 between" in told
    everything = numbers_of(experiment, "learning_curve")
    assert len(everything["points"]) == 200
    chosen = numbers_of(experiment, "learning_curve", points=[7, 150])
    assert [point["values"] for point in chosen["points"]] == [
        experiment.values[7],
        experiment.values[150],
    ]


def test_plots_of_all_points_take_no_choice(make: Make) -> None:
    experiment = make(grid(width=[10, 20]))
    with pytest.raises(InvalidSpec, match="shows all points"):
        plot_numbers(KIND, "sweep_quantity", experiment, points="best")


def test_names_beside_lines_are_spread_apart_in_their_order() -> None:
    places = spread_apart([0.5, 0.5, 0.98, 0.1], [0.1] * 4)
    assert places[3] == 0.1
    assert places[1] - places[0] >= 0.1 - 1e-12
    assert places[2] <= 0.95
    for count in (1, 8):
        found = spread_apart([1.0] * count, [1.0 / count] * count)
        steps = sorted(found)
        assert steps[-1] <= 1.0 - 0.5 / count + 1e-12
        assert all(b - a >= 1.0 / count - 1e-12 for a, b in pairwise(steps))


def test_chosen_points_keep_the_rows_of_the_whole_summary(make: Make) -> None:
    """The chosen points of a source are the rows of its whole summary."""
    experiment = make(grid(width=[10, 20, 30]))
    chosen = experiment.choose([2, 0])
    assert [point.index for point in chosen.points] == [0, 2]
    assert list(chosen.summary) == [experiment.summary[0], experiment.summary[2]]
    assert chosen.point_results == experiment.point_results
    assert set(chosen.read_metric("test_accuracy")) == {0, 2}


def untrain(numbers: dict[str, Any], *places: int) -> dict[str, Any]:
    for place, point in enumerate(numbers["points"]):
        point["outcome"] = "at_chance" if place in places else "trained"
    return numbers


def draw_numbers(name: str, numbers: dict[str, Any]) -> Figure:
    return draw_plot(KIND.load_plots(), name, numbers, PlotOptions(dpi=50))


def test_grey_points_that_did_not_train_are_white_as_the_note_says(make: Make) -> None:
    values = grid(width=list(range(1, 30)), rate=list(range(1, 22)))
    numbers = numbers_of(make(values), "sweep_quantity")
    assert len({point["line"] for point in numbers["points"]}) == 21
    figure = draw_numbers("sweep_quantity", untrain(numbers, *range(len(values))))
    assert "white marker: not trained" in figure.get_suptitle().replace("\n", " ")
    grey = [line for line in figure.axes[0].lines if line.get_color() == GREY]
    assert [line.get_markerfacecolor() for line in grey] == ["white"]
    assert len(xs(grey[0])) > 40


def test_lines_of_parallel_coordinates_that_did_not_train_are_dashed(make: Make) -> None:
    values = grid(width=[10, 20], rate=[0.1, 0.2], depth=[1, 2])
    numbers = untrain(numbers_of(make(values), "sweep_parallel"), 2)
    figure = draw_numbers("sweep_parallel", numbers)
    (lines,) = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    styles: list[Any] = list(lines.get_linestyle())
    assert [bool(dash) for _, dash in styles].count(True) == 1
    assert "dashed: not trained" in figure.get_suptitle().replace("\n", " ")
    assert "dashed" not in draw_numbers("sweep_parallel", untrain(numbers)).get_suptitle()


def test_the_note_on_rows_is_of_those_that_are_drawn(make: Make) -> None:
    values = [{"optimizer": {"name": "sgd", "lr": 0.001 * step}} for step in range(1, 61)]
    numbers = numbers_of(make(values), "sweep_quantity")
    drawn = set(list_row_names(draw_numbers("sweep_quantity", untrain(numbers))))
    for place, point in enumerate(numbers["points"]):
        is_drawn = point["texts"][numbers["x"]] in drawn
        note = draw_numbers("sweep_quantity", untrain(numbers, place)).get_suptitle()
        assert ("white marker" in note.replace("\n", " ")) == is_drawn
        if place > 8:
            break
    assert 0 < len(drawn) < len(values)


def list_row_names(figure: Figure) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
