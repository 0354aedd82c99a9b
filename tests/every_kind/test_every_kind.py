"""Every kind has an example that runs within seconds, valid results, plots, and a README."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine.analysis.stats import MIN_SEEDS
from engine.experiments.registry import kinds, parse_spec, presets
from engine.kind import Preset
from engine.local import run_local
from engine.plot_numbers import plot_numbers

CPU_SECONDS = 30.0
"""CPU time of this process on one thread, including drawing. Examples take 1 to 6 seconds, longer
on a busy machine."""


@pytest.mark.parametrize("name", list(kinds()))
def test_the_example_runs_in_seconds_and_everything_is_drawn(name: str, tmp_path: Path) -> None:
    kind = kinds()[name]
    began = time.process_time()
    experiment = run_local(
        kind.example,
        tmp_path,
        seeds=kind.example.get("seeds", [0]),
        data_dir=tmp_path / "data",
        device="cpu",
        allow_download=False,
    )
    assert time.process_time() - began < CPU_SECONDS
    assert all(
        isinstance(result, kind.seed_result)
        for point in experiment.points
        for result in point.results
    )
    assert all(isinstance(result, kind.point_result) for result in experiment.summary)
    assert {result.outcome for result in experiment.summary} == {"trained"}
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["kind"] == name
    assert [kind.point_result.model_validate(point) for point in written["points"]] == list(
        experiment.summary
    )
    for stored, result in zip(written["points"], experiment.summary, strict=True):
        answer = kind.read_answer(stored)
        assert answer == kind.read_answer(result)
        assert answer[0].statistic is not None, "the headline of an example"
        assert answer[0].statistic.n == len(kind.example["seeds"]) >= MIN_SEEDS
        assert len({column.name for column in answer}) == len(answer)
        assert len({column.title for column in answer}) == len(answer)
    for plot in kind.plots:
        if plot.explain_absence(experiment) is not None:
            assert not (tmp_path / f"{plot.name}.png").exists()
            continue
        numbers = plot_numbers(kind, plot.name, experiment)
        json.dumps(numbers, allow_nan=False)
        assert not plot.default or (tmp_path / f"{plot.name}.png").read_bytes().startswith(
            b"\x89PNG"
        )


@pytest.mark.parametrize("name", list(kinds()))
def test_the_kind_alone_is_a_valid_spec_and_heads_its_readme(name: str) -> None:
    assert parse_spec({"kind": name}).kind == name
    assert kinds()[name].read_page().startswith(f"# `{name}`\n")


def test_figures_of_one_experiment_give_it_one_name() -> None:
    """The first submission names the experiment, and that name is the title of all its plots."""
    names: dict[str, set[str]] = {}
    for preset in presets().values():
        experiment = json.dumps(
            [preset.body[part] for part in ("spec", "sweep", "seeds")], sort_keys=True
        )
        names.setdefault(experiment, set()).add(preset.body["name"])
    assert len(names) < len(presets())
    assert [found for found in names.values() if len(found) > 1] == []


@pytest.mark.parametrize(
    "preset", presets().values(), ids=lambda preset: f"{preset.name}-{preset.scale}"
)
def test_a_title_names_no_other_data_set(preset: Preset) -> None:
    """At quick scale embedded images often replace the paper's."""
    words = {
        "mnist": " MNIST",
        "fashion_mnist": "Fashion-MNIST",
        "cifar10": "CIFAR-10",
        "digits": "digits",
    }
    used = preset.body["spec"].get("data", {}).get("name", "digits")
    for title in (preset.title, preset.body["name"]):
        assert {name for name, word in words.items() if word in title} <= {used}
