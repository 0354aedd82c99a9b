"""The presets of layer-wise sparse SGD are complete, match the paper and share trainings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.experiments.lws.spec import LwsSpec
from engine.experiments.registry import get_kind, presets
from engine.kind import Preset
from engine.paper.preset_departures import list_preset_departures
from engine.paper.table1 import find_published, read_table1
from engine.spec import Execution
from engine.sweep import expand

FIGURES = (
    *(
        "fig7a",
        "fig7b",
        "fig8a",
        "fig8b",
        "fig9a",
        "fig9b",
        "fig9c",
        "fig10a",
        "fig10b",
        "fig11a",
        "fig11b",
    ),
    *("fig12a", "fig12b", "fig12c", "fig21", "fig22a", "fig22b", "fig23", "table1"),
)
FOUND = [
    preset
    for preset in presets().values()
    if preset.body["spec"]["kind"] == "lws" and not preset.name.startswith("regime_")
]


def specs_of(preset: Preset) -> list[LwsSpec]:
    points = expand(preset.body["spec"], preset.body["sweep"])
    return [point.spec for point in points if isinstance(point.spec, LwsSpec)]


def trainings_of(preset: Preset) -> Iterator[str]:
    for spec in specs_of(preset):
        for seed in preset.body["seeds"]:
            yield spec.training_digest(seed, Execution(device="cpu"), "data")


def test_every_figure_and_the_table_exist_at_both_scales() -> None:
    assert {(preset.name, preset.scale) for preset in FOUND} == {
        (name, scale) for name in FIGURES for scale in ("paper", "quick")
    }


@pytest.mark.parametrize("preset", FOUND, ids=lambda preset: f"{preset.name}-{preset.scale}")
def test_a_figure_has_a_full_point_and_enough_seeds_for_a_verdict(preset: Preset) -> None:
    specs = specs_of(preset)
    assert len({spec.digest() for spec in specs}) == len(specs)
    assert any(spec.policy.name == "full" for spec in specs)
    assert len(preset.body["seeds"]) >= 3
    assert set(preset.plots) <= {plot.name for plot in get_kind("lws").plots}


def test_two_figures_of_one_experiment_have_equal_trainings() -> None:
    by_name: dict[tuple[str, str], Any] = {(preset.name, preset.scale): preset for preset in FOUND}
    for one, other in (
        ("fig7a", "fig8a"),
        ("fig7b", "fig8b"),
        ("fig9b", "fig12b"),
        ("fig10b", "fig11b"),
    ):
        for scale in ("paper", "quick"):
            assert by_name[one, scale].body["spec"] == by_name[other, scale].body["spec"]
            assert by_name[one, scale].body["sweep"] == by_name[other, scale].body["sweep"]


def test_most_trainings_of_the_quick_figures_are_shared() -> None:
    requested = [
        training for preset in FOUND if preset.scale == "quick" for training in trainings_of(preset)
    ]
    assert len(set(requested)) < 0.5 * len(requested)


def test_the_table_preset_has_every_published_row() -> None:
    requested = next(
        preset for preset in FOUND if (preset.name, preset.scale) == ("table1", "paper")
    )
    published = {
        find_published(spec.model, spec.init, spec.policy) for spec in specs_of(requested)
    } - {None}
    assert published == set(read_table1())


@pytest.mark.parametrize("preset", FOUND, ids=lambda preset: f"{preset.name}-{preset.scale}")
def test_the_departures_of_a_figure_are_listed(preset: Preset) -> None:
    departures = " ".join(list_preset_departures(preset))
    for spec in specs_of(preset):
        assert ("of its width" in departures) == (
            getattr(spec.model, "width_multiplier", 1.0) != 1.0
        )
        assert ("learning rate 0.00" in departures) == (spec.optimizer.name == "adam")
    assert ("data set digits" in departures) == (preset.scale == "quick")
