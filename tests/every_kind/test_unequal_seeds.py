"""Points whose means are of different numbers of seeds say so, and what diverged is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure

from engine.experiments.registry import get_kind
from engine.kind import FinishedPoint
from engine.local import LocalExperiment, run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import PlotOptions
from tests.every_kind.made_experiments import MadeExperiment

EPOCHS, CUT = 5, 2
SPEC = {
    "data": {"name": "digits", "train_size": 200, "test_size": 100},
    "model": {"name": "relu_net", "width": 8},
    "epochs": EPOCHS,
}


class Diverged(MadeExperiment):
    """Two points of three seeds; the last seed of the first one diverges after epoch CUT."""

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        found = {index: dict(by_seed) for index, by_seed in super().read_metric(name).items()}
        series = [(step, value) for step, value in found[0][2] if step <= CUT]
        found[0][2] = [*series, (CUT + 1, None)]
        return found


def make_diverged(name: str, folder: Any) -> Diverged:
    kind = get_kind(name)
    body = {"spec": {"kind": name, **SPEC}}
    example: LocalExperiment = run_local(body, folder, seeds=[0], data_dir=folder, device="cpu")
    first = example.points[0]
    good = [
        first.results[0].model_copy(update={"seed": seed, "outcome": "trained"})
        for seed in range(3)
    ]
    change: dict[str, Any] = {"outcome": "not_finite"}
    if name == "lws":
        seconds = first.results[0].model_dump()["cumulative_backward_seconds"]
        # the seed is slow, so that the mean of the others is less
        change["cumulative_backward_seconds"] = tuple(10 * one for one in seconds[: CUT + 1])
    bad = [*good[:2], good[2].model_copy(update=change)]
    points = [
        FinishedPoint(0, {"optimizer.lr": 0.5}, first.spec, bad),
        replace(first, index=1, values={"optimizer.lr": 0.1}, results=good),
    ]
    return Diverged(kind, example, points=points)


@pytest.fixture(scope="module", params=[("lws", "error_curves"), ("train", "learning_curve")])
def diverged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Diverged, str]:
    kind, plot = request.param
    return make_diverged(kind, tmp_path_factory.mktemp(kind)), plot


def draw(experiment: MadeExperiment, plot: str, **options: Any) -> tuple[dict[str, Any], Figure]:
    numbers = plot_numbers(experiment.kind, plot, experiment)
    figure: Figure = experiment.kind.load_plots().draw(plot, numbers, PlotOptions(**options))
    return numbers, figure


def read_legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def read_note(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def test_a_diverged_seed_cuts_no_curve_and_marks_its_point(diverged: tuple[Diverged, str]) -> None:
    experiment, plot = diverged
    numbers, figure = draw(experiment, plot)
    assert [point["outcome"] for point in numbers["points"]] == ["not_finite", "trained"]
    for point in numbers["points"]:
        curve = point["curves"]["test_accuracy"] if plot == "learning_curve" else point
        assert curve["epoch"][-1] == EPOCHS
    first, second = read_legend(figure)
    assert first.endswith(" †")
    assert "†" not in second
    assert "mean of 2–3 seeds, band: one standard error; † not trained" in read_note(figure)


def test_the_numbers_count_the_seeds_of_each_epoch(diverged: tuple[Diverged, str]) -> None:
    experiment, plot = diverged
    numbers, _ = draw(experiment, plot)
    for place, point in enumerate(numbers["points"]):
        curve = (
            point["curves"]["test_accuracy"] if plot == "learning_curve" else point["test_error"]
        )
        left = EPOCHS - CUT
        expected = [3] * CUT + ([2] if place == 0 else [3]) * left
        assert curve["n"][-EPOCHS:] == expected


@pytest.mark.parametrize("diverged", [("lws", "error_curves")], indirect=True)
def test_the_time_so_far_does_not_fall_where_a_slow_seed_ends(
    diverged: tuple[Diverged, str],
) -> None:
    seconds = draw(*diverged)[0]["points"][0]["backward_seconds"]
    assert len(seconds) == EPOCHS
    assert seconds == sorted(seconds)
