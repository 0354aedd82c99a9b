"""Points whose means are of different numbers of seeds say so, and what diverged is marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from engine.experiments.registry import get_kind, kinds
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
    body = {"spec": {"kind": name, "probes": {}, **SPEC}}
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


@pytest.fixture(
    scope="module",
    params=[("lws", "error_curves"), ("train", "learning_curve"), ("train", "probes")],
)
def diverged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Diverged, str]:
    kind, plot = request.param
    return make_diverged(kind, tmp_path_factory.mktemp(kind)), plot


def draw(experiment: MadeExperiment, plot: str, **options: Any) -> tuple[dict[str, Any], Figure]:
    numbers = plot_numbers(experiment.kind, plot, experiment)
    figure: Figure = experiment.kind.load_plots().draw(plot, numbers, PlotOptions(**options))
    return numbers, figure


def read_curve(point: dict[str, Any], plot: str) -> dict[str, Any]:
    if plot == "error_curves":
        return {"epoch": point["epoch"], **point["test_error"]}
    name = "test_accuracy" if plot == "learning_curve" else "movement"
    return dict(point["curves"][name])


def read_legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def read_note(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def test_a_diverged_seed_cuts_no_curve_and_marks_its_point(diverged: tuple[Diverged, str]) -> None:
    experiment, plot = diverged
    numbers, figure = draw(experiment, plot)
    assert [point["outcome"] for point in numbers["points"]] == ["not_finite", "trained"]
    for point in numbers["points"]:
        assert read_curve(point, plot)["epoch"][-1] == EPOCHS
    first, second = read_legend(figure)
    assert first.endswith(" †")
    assert "†" not in second
    assert "mean of 2–3 seeds, band: one standard error; † not trained" in read_note(figure)


def test_the_numbers_count_the_seeds_of_each_epoch(diverged: tuple[Diverged, str]) -> None:
    experiment, plot = diverged
    numbers, _ = draw(experiment, plot)
    for place, point in enumerate(numbers["points"]):
        left = EPOCHS - CUT
        expected = [3] * CUT + ([2] if place == 0 else [3]) * left
        assert read_curve(point, plot)["n"][-EPOCHS:] == expected


@pytest.mark.parametrize("diverged", [("lws", "error_curves")], indirect=True)
def test_the_time_so_far_does_not_fall_where_a_slow_seed_ends(
    diverged: tuple[Diverged, str],
) -> None:
    seconds = draw(*diverged)[0]["points"][0]["backward_seconds"]
    assert len(seconds) == EPOCHS
    assert seconds == sorted(seconds)


SAY_NOTHING = {"accuracy_bars", "timings", "architecture", "table", "quotients"}
"""Plots whose note is not on seeds"""


@pytest.fixture(scope="module", params=list(kinds()))
def unequal(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> MadeExperiment:
    """Two points: of three seeds, one of which did not train, and of one seed."""
    kind, folder = get_kind(request.param), tmp_path_factory.mktemp(request.param)
    example = run_local(kind.example, folder, seeds=[0], data_dir=folder, device="cpu")
    first = example.points[0]
    results = [
        first.results[0].model_copy(update={"seed": seed, "outcome": outcome})
        for seed, outcome in enumerate(("at_chance", "trained", "trained"))
    ]
    points = [
        FinishedPoint(0, {"optimizer.lr": 0.5}, first.spec, results),
        FinishedPoint(1, {"optimizer.lr": 0.1}, first.spec, results[1:2]),
    ]
    return MadeExperiment(kind, example, points=points)


def test_notes_tell_the_least_and_the_most_seeds_and_marks_stand_where_a_note_explains_them(
    unequal: MadeExperiment,
) -> None:
    for plot in unequal.kind.plots:
        if plot.find_obstacle is not None and plot.find_obstacle(unequal):
            continue
        _, figure = draw(unequal, plot.name)
        texts = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
        told = " ".join(texts).replace("\n", " ")
        if plot.name not in SAY_NOTHING:
            assert "1–3 seeds" in told, f"{plot.name}: {told}"
        texts += [str(line.get_marker()) for line in figure.findobj(Line2D)]
        marked = any("†" in text and "† not trained" not in text for text in texts)
        assert marked == ("† not trained" in told), f"{plot.name}: {told}"


class OneCurve(MadeExperiment):
    """The spectrum of seed 1 ends after the first step."""

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        stored = super().read_artifact(point_index, 0, name)
        if seed == 0 or stored is None:
            return stored
        curves = json.loads(stored)
        return json.dumps(curves | {"steps": curves["steps"][:1]}).encode()


def test_steps_of_one_point_with_fewer_seeds_are_told(tmp_path: Path) -> None:
    spectrum = {"kind": "gradient_spectrum", **SPEC, "steps": [1, 5]}
    connectivity = {"kind": "connectivity", **SPEC, "splits": {"steps": [0, 2]}, "points": 4}
    for spec in (spectrum, connectivity):
        kind, folder = get_kind(str(spec["kind"])), tmp_path / str(spec["kind"])
        example = run_local({"spec": spec}, folder, seeds=[0], data_dir=folder, device="cpu")
        result: Any = example.points[0].results[0]
        fewer = {"splits": result.splits[:1]} if kind.name == "connectivity" else {}
        results = [result, result.model_copy(update={"seed": 1, **fewer})]
        experiment = OneCurve(kind, example, points=[replace(example.points[0], results=results)])
        for plot in kind.plots:
            if plot.name in ("spectrum", "share_of_norm", "instability", "line_error"):
                assert "mean of 1–2 seeds" in read_note(draw(experiment, plot.name)[1]), plot.name
