"""The page on the regime: the answer, what was claimed before, and a figure for each quantity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.gallery.entries import Entry, Picture
from ops.gallery.figure_pages import write_figure_pages
from ops.gallery.page import write_pages
from ops.gallery.regime_page import write_regime_page
from tests.gallery.test_gallery import verdict

VERDICT: dict[str, Any] = {
    "name": "costs more when rich",
    "verdict": "reproduced",
    "sentence": "Found 3 points more.",
    "value": 0.03,
    "interval": [0.01, 0.05],
    "n": 5,
}
DISTANCE = {"mean": 0.05, "standard_error": 0.01, "ci95": [0.03, 0.07], "n": 5}
RECORD: dict[str, Any] = {
    "name": "regime_lws",
    "preset": "regime_lws",
    "reading": None,
    "scale": "quick",
    "title": "A title",
    "description": "What it varies.",
    "plots": ["sweep_quantity-difference"],
    "body": {
        "spec": {"data": {"name": "mnist", "train_size": 2_000}, "epochs": 30},
        "seeds": [0, 1, 2, 3, 4],
    },
    "departures": [],
    "is_changed": True,
    "run_seconds": 90.0,
    "reused_trainings": False,
    "machine": {"device": "cpu", "threads": 1, "versions": {"torch": "2"}},
    "points": [
        {
            "point": {"output_scale.alpha": alpha},
            "outcome": "trained",
            "seeds": [0, 1, 2, 3, 4],
            "test_accuracy": DISTANCE,
            "probes": {
                "kernel_distance": DISTANCE | {"mean": mean, "ci95": [mean, mean]},
                "probe_loss": DISTANCE | {"mean": 0.25},
            },
        }
        for alpha, mean in ((0.1, 3.0), (100.0, 0.05))
    ],
    "comparison": {
        "verdicts": [],
        "own_verdicts": [VERDICT, {**VERDICT, "verdict": "inconclusive", "name": "another"}],
    },
}


def test_a_plot_of_the_sweep_has_a_picture_for_each_claimed_quantity() -> None:
    assert Entry("lazy_to_rich").list_pictures() == [
        Picture("sweep_quantity", "test_accuracy"),
        Picture("sweep_quantity", "kernel_distance"),
    ]
    names = [one.name for one in Entry("regime_activity").list_pictures()]
    assert names[:2] == ["concentration", "sweep_quantity-share_of_layers.4_at_alpha_1"]
    assert Entry("fig2").list_pictures()[0] == Picture("curves_log")


def test_the_first_claim_answers_and_the_regime_is_told_as_measured(tmp_path: Path) -> None:
    other = {**RECORD, "preset": "fig2", "name": "fig2"}
    write_regime_page([other, RECORD], tmp_path / "regime.md", "results")
    text = (tmp_path / "regime.md").read_text()
    assert "./run gallery --only regime_lws --data-dir FOLDER" in text
    assert text.count("\n## ") == 1
    assert "?](#regime_lws) *Costs more when rich*: **✔ reproduced**.\n" in text
    section = text[text.index('<a id="regime_lws">') :]
    assert "*: **✔ reproduced**. Found 3 points more." in section
    rich, lazy = "300.0 % (95 % interval 300.0 to 300.0, n = 5): rich", "5.0 % (95 % interval 5.0"
    assert f"| alpha 0.1 | {rich} | 0.250 ± 0.010 | 0.050 ± 0.010 |" in section
    assert f"| alpha 100 | {lazy} to 5.0, n = 5): lazy | 0.250 ± 0.010 |" in section
    assert "| another | – inconclusive | 0.03 [0.01, 0.05] | 5 | Found 3 points more. |" in section
    assert "(results/regime_lws-sweep_quantity-difference.png)" in section
    assert "mnist, 2,000 train images, 30 epochs, 5 seeds" in section


def test_the_crossings_do_not_judge_the_paper(tmp_path: Path) -> None:
    """Its claims are about nets at one output scale; the page of the preset has these verdicts."""
    (tmp_path / "results").mkdir()
    comparison = {**RECORD["comparison"], "verdicts": [verdict(1, "not reproduced", "other")]}
    record = {**RECORD, "comparison": comparison}
    (tmp_path / "results" / "regime_lws.json").write_text(json.dumps(record))
    write_pages(tmp_path / "results", tmp_path / "paper-map.md")
    assert "Found not reproduced" not in (tmp_path / "paper-map.md").read_text()
    assert "Found not reproduced" in (tmp_path / "figures" / "regime_lws.md").read_text()


def test_the_page_of_the_preset_tells_what_was_claimed(tmp_path: Path) -> None:
    write_figure_pages([RECORD], tmp_path, "../results")
    text = (tmp_path / "regime_lws.md").read_text()
    assert "- Claimed before, costs more when rich: **reproduced**. Found 3 points more." in text


def test_the_stored_records_hold_what_their_presets_claim() -> None:
    """A claim that is changed after its computation would be a claim on a known result."""
    results = Path(__file__).parents[2] / "docs" / "results"
    stored = [json.loads(path.read_text()) for path in results.glob("*.json")]
    claiming = [record for record in stored if record["body"].get("claims")]
    assert {"lazy_to_rich", "regime_activity", "regime_lws", "regime_reinit"} <= {
        record["preset"] for record in claiming
    }
    for record in claiming:
        assert record["body"]["claims"] == Entry(record["preset"]).body()["claims"]
        judged = [one["name"] for one in record["comparison"]["own_verdicts"]]
        assert judged == [claim["name"] for claim in record["body"]["claims"]]
