"""Scatters and bars of policies: fillings, daggers, labels that no line runs into."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from engine.drawing.fitting import draw_plot
from engine.experiments.lws import KIND
from engine.experiments.lws.styles import FILLS
from engine.plotting import PlotOptions
from tests.every_kind.text_boxes import find_overlaps, list_texts


def make_point(number: int, policy: str, outcome: str = "trained") -> dict[str, Any]:
    return {
        "policy": policy,
        "kind_of_policy": "full" if policy == "Full" else "top_k",
        "family": policy,
        "rho": None,
        "setting": f"train size {number}",
        "outcome": outcome,
        "n": 3,
        "test_accuracy": {"mean": 0.5 + 0.03 * number, "standard_error": 0.01},
        "train_seconds": {"mean": 1.0 + number, "standard_error": 0.1},
        "values": {"data.train_size": number},
    }


def draw(count: int, outcome: str = "trained", **options: Any) -> Figure:
    points = [make_point(number, one) for number in range(count) for one in ("Full", "Top 1")]
    points[-1]["outcome"] = outcome
    numbers = {"title": "a title", "points": points}
    return draw_plot(KIND.load_plots(), "error_against_train_time", numbers, PlotOptions(**options))


def look_of(line: Line2D) -> tuple[Any, ...]:
    is_white = line.get_markerfacecolor() == "white"
    return (line.get_marker(), "none" if is_white else line.get_fillstyle())


def list_signs(figure: Figure) -> list[str]:
    """What stands beside the markers."""
    markers = [str(line.get_marker()) for line in figure.axes[0].lines]
    return [marker.strip("$") for marker in markers if marker.startswith("$")]


@pytest.mark.parametrize("width", [None, "column"])
def test_each_setting_has_a_filling_in_the_axes_and_in_the_legend(width: Any) -> None:
    figure = draw(len(FILLS), width=width)
    lines = [line for line in figure.axes[0].lines if line.get_marker() in ("*", "o")]
    looks = {look_of(line) for line in lines}
    assert len(looks) == len(lines) == 2 * len(FILLS)
    handles = figure.legends[0].legend_handles
    circles = [one for one in handles if isinstance(one, Line2D)]
    fillings = [look_of(one)[1] for one in circles[-len(FILLS) :]]
    assert fillings == list(FILLS)
    assert list_signs(figure) == []


def test_more_settings_than_fillings_have_numbers() -> None:
    count = len(FILLS) + 1
    figure = draw(count)
    numbers = [str(number + 1) for number in range(count)]
    assert list_signs(figure) == [number for number in numbers for _ in range(2)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-count:] == [f"{number}: train size {int(number) - 1}" for number in numbers]


def test_a_point_that_did_not_train_has_a_dagger_beside_it() -> None:
    assert list_signs(draw(3, "at_chance")) == ["†"]
    assert list_signs(draw(len(FILLS) + 1, "at_chance"))[-1] == f"{len(FILLS) + 1}†"


def test_the_line_of_full_stays_clear_of_the_labels_of_bars() -> None:
    points = [
        make_point(number, policy) | {"backward_seconds": {"mean": 1.0}, "backward_ratio": None}
        for number, policy in ((15, "Full"), (13, "Top 1"))
    ]
    numbers = {"title": "a title", "points": points}
    figure = draw_plot(KIND.load_plots(), "accuracy_bars", numbers, PlotOptions())
    figure.canvas.draw()
    axes = figure.axes[0]
    line = next(one for one in axes.lines if one.get_linestyle() == "--")
    point = figure.dpi / 72
    for text in axes.texts:
        inner, patch = Text.get_window_extent(text), text.get_bbox_patch()
        assert patch is not None
        outer = patch.get_window_extent()
        assert min(inner.x0 - outer.x0, outer.x1 - inner.x1) > 2 * point
        assert text.get_zorder() > line.get_zorder()


def test_the_note_on_bars_is_of_those_that_are_drawn() -> None:
    ratio = {"backward_seconds": {"mean": 1.0, "standard_error": None}, "backward_ratio": None}
    points = [make_point(number, "Top 1") | ratio for number in range(60)]
    for place, point in enumerate(points):
        point["test_accuracy"] = {"mean": 0.01 * place, "standard_error": None}
        point["n"] = 1
    points[1] |= {"outcome": "at_chance", "n": 5}
    numbers = {"title": "a title", "points": points}
    figure = draw_plot(KIND.load_plots(), "accuracy_bars", numbers, PlotOptions(width="text"))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "Top 1, train size 1" not in names
    assert "†" not in figure.get_suptitle()
    assert "one seed" in figure.get_suptitle()


@pytest.mark.parametrize("seconds", [0.000787, 0.00155, 0.00759, 0.0168, 0.082])
def test_numbers_along_the_time_do_not_touch_where_the_file_is_written(seconds: float) -> None:
    """They have many decimals; outside of the plot's style matplotlib would choose more of them."""
    error = {"mean": [0.9, 0.5], "standard_error": [0.01, 0.02], "n": [5, 5]}
    point = {
        "values": {},
        "label": "",
        "setting": "",
        "policy": "Full",
        "family": "Full",
        "kind_of_policy": "full",
        "rho": None,
        "k": None,
        "q": None,
        "outcome": "trained",
        "n": 5,
        "epoch": [1, 2],
        "train_error": error,
        "backward_seconds": [seconds, 2.6 * seconds],
        "test_error": error,
    }
    numbers = {"title": "A title", "points": [point]}
    figure = draw_plot(KIND.load_plots(), "error_curves", numbers, PlotOptions(width="slide"))
    assert find_overlaps(list_texts(figure)) == []
