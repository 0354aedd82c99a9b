"""The gallery: every figure has a valid entry, and the page shows the computed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.experiments.registry import presets
from engine.sweep import expand
from ops.gallery import compute as computing
from ops.gallery.entries import AT_SIZE, CHANGES, Entry, list_entries
from ops.gallery.page import write_page

SMALL = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "digits", "train_size": 200, "test_size": 100},
}


def test_every_preset_of_the_paper_is_computed_once_or_by_every_reading() -> None:
    named = {name for name, _ in presets() if name != "demo"}
    found: dict[str, list[str | None]] = {}
    for entry in list_entries():
        found.setdefault(entry.preset, []).append(entry.reading)
    assert found.keys() == named
    for name, readings in found.items():
        assert readings in ([None], ["first_epoch", "trainable", "printed"]), name
    assert len({entry.name for entry in list_entries()}) == len(list_entries())


def test_claims_1_to_4_are_computed_at_the_paper_s_sizes_with_the_control() -> None:
    for entry in AT_SIZE:
        body = entry.body()
        assert entry.scale == "paper"
        assert body["spec"]["epochs"] == 100
        assert body["spec"]["data"]["train_size"] == 10_000
        if entry.preset in ("fig2", "fig3", "fig14a", "fig14b", "fig15a", "fig15b"):
            assert body["spec"]["modes"] == ["active", "lazy", "random"]
            assert body["sweep"]["model.width"][:3] == [10, 100, 1_000]


def test_an_entry_by_a_reading_makes_its_choices_and_says_so() -> None:
    (printed,) = (entry for entry in list_entries() if entry.name == "fig2-printed")
    body = printed.body()
    assert body["spec"]["optimizer"]["lr"] == 0.1
    assert body["spec"]["data"]["normalization"] == "unit"
    assert body["name"].endswith("(reading printed)")


@pytest.mark.parametrize("entry", list_entries(), ids=lambda entry: entry.name)
def test_every_entry_is_a_body_whose_points_are_all_valid(entry: Entry) -> None:
    body = entry.body()
    assert expand(body["spec"], body["sweep"])
    assert len(body["seeds"]) >= 3, "fewer seeds give no verdict"


def test_an_entry_changes_its_body_and_not_the_preset() -> None:
    before = json.dumps(dict(presets()["demo", "quick"].body))
    changed = Entry("demo", {"epochs": 1}, {"model.width": [5]}, (7, 8)).body()
    assert changed["spec"]["epochs"] == 1
    assert changed["sweep"] == {"model.width": [5]}
    assert changed["seeds"] == [7, 8]
    assert json.dumps(dict(presets()["demo", "quick"].body)) == before


def test_changes_are_left_out_if_their_file_is_missing(tmp_path: Path) -> None:
    needing = [entry for entry in CHANGES if entry.data_file is not None]
    assert needing
    assert not any(entry in list_entries(tmp_path) for entry in needing)
    for entry in needing:
        (tmp_path / str(entry.data_file)).touch()
    assert all(entry in list_entries(tmp_path) for entry in needing)


@pytest.mark.slow
def test_results_are_written_with_plots_and_a_page(tmp_path: Path) -> None:
    entry = Entry("demo", SMALL, {"model.width": [5, 10]}, (0, 1, 2))
    results, page = tmp_path / "docs" / "results", tmp_path / "docs" / "paper-map.md"
    assert computing.compute([entry], tmp_path / "home", None, results, Console(quiet=True))
    write_page(results, page)
    record: dict[str, Any] = json.loads((results / "demo.json").read_text())
    assert record["body"] == entry.body()
    assert record["is_changed"]
    text = page.read_text()
    for plot in presets()["demo", "quick"].plots:
        assert (results / f"demo-{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert f"(results/demo-{plot}.png)" in text
    assert "data set digits instead of mnist or fashion_mnist" in text
    assert text.count("±") >= 4
