"""The gallery: every figure has a valid entry, and the page shows the computed results."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from engine.experiments.registry import presets
from engine.paper.claims import CLAIMS
from engine.sweep import expand
from ops.commands import app
from ops.gallery import compute as computing
from ops.gallery.entries import (
    AT_SIZE,
    BEYOND_TWO_CORES,
    CHANGES,
    Entry,
    list_entries,
    list_left_out,
)
from ops.gallery.page import ANSWERS, write_pages

SMALL = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "digits", "train_size": 200, "test_size": 100},
}


def test_every_preset_of_the_paper_is_computed_once_or_by_every_reading() -> None:
    named = {name for name, _ in presets() if name != "demo"}
    found: dict[str, list[str | None]] = {}
    for entry in list_entries():
        if not entry.part:
            found.setdefault(entry.preset, []).append(entry.reading)
    assert found.keys() == named
    for name, readings in found.items():
        assert readings in ([None], ["first_epoch", "trainable", "printed"]), name
    assert len({entry.name for entry in list_entries()}) == len(list_entries())


def test_claims_1_to_4_are_computed_at_the_paper_s_sizes_with_the_control() -> None:
    for entry in AT_SIZE:
        body = entry.body()
        assert entry.scale == "paper"
        assert body["spec"]["epochs"] == (40 if entry.preset in ("fig7a", "fig8a") else 100)
        assert body["spec"]["data"]["train_size"] == 10_000
        if (
            entry.preset in ("fig2", "fig3", "fig14a", "fig14b", "fig15a", "fig15b")
            and not entry.part
        ):
            assert body["spec"]["modes"] == ["active", "lazy", "random"]
            is_deep = entry.preset in ("fig3", "fig14b", "fig15b")
            wide = [] if is_deep and entry.reading != "first_epoch" else [1_000]
            assert body["sweep"]["model.width"][:3] == [10, 100, *wide]


def test_an_entry_of_some_widths_has_a_name_and_a_title_of_its_own() -> None:
    (entry,) = (entry for entry in list_entries() if entry.part)
    assert entry.name == "fig2-first_epoch-widths_100_1000"
    assert entry.title.endswith("(reading first_epoch, widths 100, 1000)")
    assert entry.body()["sweep"]["model.width"] == [100, 1_000]


def test_a_title_names_the_data_that_an_entry_uses() -> None:
    titles = [entry.title for entry in (*CHANGES, *BEYOND_TWO_CORES) if "data" in entry.spec]
    assert "Table 1: VGG-11 on JPEG copies of CIFAR-10" in titles
    assert not any("on digits" in title or "on CIFAR-10" in title for title in titles)


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
    assert list_left_out(tmp_path) == needing
    for entry in needing:
        (tmp_path / str(entry.data_file)).touch()
    assert all(entry in list_entries(tmp_path) for entry in needing)
    assert list_left_out(tmp_path) == []


def test_the_command_tells_which_entry_it_does_not_enlarge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(computing, "compute", lambda *_: True)
    monkeypatch.setattr("ops.gallery.page.write_pages", lambda *_: None)
    for only, is_told in (("fig23", True), ("fig22a", False)):
        call = ["gallery", "--only", only, "--data-dir", str(tmp_path), "--out", str(tmp_path)]
        told = CliRunner().invoke(app, call)
        assert told.exit_code == 0, told.output
        assert ("cifar10-jpeg.npz is not in --data-dir" in told.output) is is_told


def test_an_entry_waits_for_an_earlier_one_that_trains_the_same_nets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {entry.name: entry for entry in list_entries()}
    sweep, bars, other = (found[name] for name in ("fig3-printed", "fig4b-printed", "fig2-printed"))
    assert computing.trained_nets(sweep) == computing.trained_nets(bars)
    assert not computing.trained_nets(sweep) & computing.trained_nets(other)
    calls: list[str] = []

    class Answers:
        """Experiments that have ended when they are asked for the second time."""

        def submit(self, body: dict[str, Any]) -> SimpleNamespace:
            calls.append(f"submit {body['name']}")
            return SimpleNamespace(id=body["name"])

        def get(self, name: str) -> SimpleNamespace:
            calls.append(f"get {name}")
            return SimpleNamespace(terminal=calls.count(f"get {name}") == 2)

    monkeypatch.setattr(computing, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(computing, "_write", lambda *_: True)
    client: Any = Answers()
    assert computing._submit_and_write(client, [sweep, bars, other], tmp_path, Console(quiet=True))
    assert calls.index(f"submit {other.title}") < calls.index(f"submit {bars.title}")
    ended = [call for call in calls if call == f"get {sweep.title}"]
    assert len(ended) == 2
    assert calls.count(f"submit {bars.title}") == 1
    assert calls.index(f"submit {bars.title}") > len(calls) - calls[::-1].index(ended[0]) - 1


@pytest.mark.slow
def test_results_are_written_with_plots_and_a_page(tmp_path: Path) -> None:
    entry = Entry("demo", SMALL, {"model.width": [5, 10]}, (0, 1, 2))
    results, page = tmp_path / "docs" / "results", tmp_path / "docs" / "paper-map.md"
    assert computing.compute([entry], tmp_path / "home", None, results, Console(quiet=True))
    write_pages(results, page)
    record: dict[str, Any] = json.loads((results / "demo.json").read_text())
    assert record["body"] == entry.body()
    assert record["is_changed"]
    text = (page.parent / "figures" / "demo.md").read_text()
    for plot in presets()["demo", "quick"].plots:
        assert (results / f"demo-{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert f"(../results/demo-{plot}.png)" in text
    assert "data set digits instead of mnist or fashion_mnist" in text
    assert text.count("±") >= 4


def verdict(claim: int, name: str, reading: str, **fields: Any) -> dict[str, Any]:
    return {
        "claim": claim,
        "title": "title",
        "verdict": name,
        "reading": reading,
        "scale": "paper",
        "decided_by": "measurement",
        "value": -0.5,
        "interval": [-0.6, -0.4],
        "n": 5,
        "sentence": f"Found {name} by {reading}.",
        "reason": f"{name} {reading}",
        "point": {},
        "findings": [],
        "departures": [],
        **fields,
    }


def write_record(
    folder: Path, preset: str, reading: str | None, verdicts: list[dict[str, Any]], points: Any = ()
) -> None:
    name = f"{preset}-{reading}" if reading else preset
    record = {
        "name": name,
        "preset": preset,
        "reading": reading,
        "scale": "paper",
        "title": f"Title of {name}",
        "description": "What it shows.",
        "plots": ["curves_log"],
        "body": {"spec": {"data": {"name": "mnist"}}, "seeds": [0, 1, 2, 3, 4]},
        "departures": [],
        "choices": ["a choice"],
        "is_changed": False,
        "run_seconds": 1.0,
        "reused_trainings": False,
        "machine": {"device": "cpu", "threads": 1, "versions": {"torch": "2"}},
        "points": list(points),
        "comparison": {"verdicts": verdicts},
    }
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_the_page_answers_each_claim_by_the_most_telling_reading(tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "paper-map.md"
    results.mkdir()
    rises = verdict(2, "reproduced", "first_epoch")
    falls = verdict(2, "not reproduced", "trainable", decided_by="theory")
    write_record(results, "fig2", "trainable", [falls])
    beside = {
        "statement": "Width 100 rises",
        "verdict": "reproduced",
        "role": "beside",
        "value": -0.25,
        "interval": [-0.5, -0.125],
        "n": 5,
        "reason": "95 % interval [-0.5, -0.125] is below 0",
    }
    inconclusive = verdict(1, "inconclusive", "first_epoch", findings=[beside])
    write_record(results, "fig2", "first_epoch", [rises, inconclusive])
    write_pages(results, page)
    text = page.read_text()
    row = "| [2. Wide nets recover as more is reset](#claim-2) |"
    assert f"{row} ✔ reproduced | `first_epoch` | Found reproduced by first_epoch. |" in text
    assert f"{row} ✘ 1 | ✔ 1 |" in text
    section = text[text.index('<a id="claim-2">') : text.index('<a id="claim-3">')]
    assert (
        "**✔ reproduced**, by the reading `first_epoch`, at paper scale "
        "([fig2](figures/fig2.md#fig2-first_epoch)). Found reproduced by first_epoch.\n" in section
    )
    assert section.index("| `first_epoch` |") < section.index("| `trainable` |")
    assert "(results/fig2-first_epoch-curves_linear.png)" not in section, "it was not drawn"
    assert "Not computed here." in text[text.index('<a id="claim-8">') :]
    figure = (tmp_path / "figures" / "fig2.md").read_text()
    assert figure.index("Title of fig2-trainable") < figure.index("Title of fig2-first_epoch")
    assert "decided by theory" in figure
    assert "\n  - Beside it: Width 100 rises: reproduced, -0.25 [-0.5, -0.125].\n" in figure
    assert "Choices where the paper is silent: a choice." in figure


def test_an_experiment_named_in_advance_answers_and_the_others_are_counted(tmp_path: Path) -> None:
    """A choice among results, as of the first decided one, is wrong more often than told."""
    results = tmp_path / "results"
    results.mkdir()
    undecided = verdict(5, "inconclusive", "trainable", scale="reduced")
    write_record(results, "fig5", None, [undecided])
    found = verdict(5, "reproduced", "trainable", reason="of fig6")
    write_record(results, "fig6", None, [found])
    missed = verdict(5, "not reproduced", "trainable", reason="of fig18", sentence="a | b")
    write_record(results, "fig18", None, [missed])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    section = text[text.index('<a id="claim-5">') : text.index('<a id="claim-6">')]
    assert (
        "**– inconclusive**, by the reading `trainable`, at reduced scale "
        "([fig5](figures/fig5.md#fig5)). Found inconclusive by trainable. Other experiments by "
        "this reading: ✔ reproduced (1), ✘ not reproduced (1).\n" in section
    )
    assert (
        "| `trainable` | ✔ reproduced (1), ✘ not reproduced (1), – inconclusive (1) of "
        "[3](paper-experiments.md#claim-5) | [fig5](figures/fig5.md#fig5) | -0.5 [-0.6, -0.4] | 5 "
        "| reduced |" in section
    )
    every = (tmp_path / "paper-experiments.md").read_text()
    assert every.count("| `trainable` |") == 3
    assert "| ✘ not reproduced | -0.5 [-0.6, -0.4] | 5 | a \\| b |" in every


def test_no_verdict_enters_the_choice_where_the_answering_experiment_is_missing(
    tmp_path: Path,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    undecided = verdict(5, "inconclusive", "trainable", departures=["fewer epochs"])
    write_record(results, "fig6", None, [undecided])
    found = verdict(5, "reproduced", "trainable", departures=["another net"])
    write_record(results, "fig18", None, [found])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    row = "| [5. Active parameters concentrate at the ends](#claim-5) |"
    assert f"{row} – inconclusive | `trainable` | Found inconclusive by trainable. | ✔ 1 |" in text
    section = text[text.index('<a id="claim-5">') : text.index('<a id="claim-6">')]
    assert "\nDepartures from the paper: fewer epochs.\n" in section


def test_of_equal_verdicts_that_of_the_answering_experiment_is_kept(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shared = verdict(3, "not reproduced", "first_epoch")
    for preset in ("fig2", "fig4a"):
        write_record(results, preset, "first_epoch", [shared])
    write_record(results, "fig3", "first_epoch", [verdict(3, "reproduced", "first_epoch")])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    section = text[text.index('<a id="claim-3">') : text.index('<a id="claim-4">')]
    assert "**✘ not reproduced**" in section
    assert "([fig4a](figures/fig4a.md#fig4a-first_epoch))" in section
    assert "#fig2-first_epoch" not in section


def test_the_picture_of_a_claim_is_of_the_experiment_that_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ANSWERS, 4, "fig2-trainable")
    results = tmp_path / "results"
    results.mkdir()
    for reading in ("first_epoch", "trainable"):
        write_record(results, "fig2", reading, [verdict(4, "reproduced", reading)])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert text.count("![") == 1
    assert "![Title of fig2-trainable](results/fig2-trainable-curves_log.png)" in text


def test_the_experiments_that_answer_are_in_the_gallery() -> None:
    names = {entry.name for entry in list_entries()}
    assert set(ANSWERS.values()) <= names
    assert list(ANSWERS) == [claim.number for claim in CLAIMS]


def test_points_that_do_not_measure_a_claim_are_not_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    unmeasured = verdict(4, "inconclusive", "first_epoch", value=None, interval=None)
    by_theory = verdict(2, "not reproduced", "printed", value=None, decided_by="theory")
    write_record(tmp_path / "results", "fig4a", "first_epoch", [unmeasured, by_theory])
    write_pages(tmp_path / "results", tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert "Found inconclusive" not in text
    assert "Found not reproduced by printed." in text


def test_the_page_begins_with_the_net_that_is_reset_to(tmp_path: Path) -> None:
    def curve(reset_to: dict[str, Any], *accuracies: float) -> dict[str, Any]:
        means = [{"mean": one} for one in accuracies]
        active = {"mode": "active", "fractions_percent": [0.0, 20.0, 100.0], "test_accuracy": means}
        fields = {"seeds": [0, 1, 2, 3, 4], "outcome": "trained"}
        return {"point": {"reset_to": reset_to}, "curves": [active], **fields}

    results = tmp_path / "results"
    results.mkdir()
    points = [
        curve({"name": "init"}, 0.9, 0.3, 0.1),
        curve({"name": "epoch", "epoch": 1}, 0.9, 0.4, 0.7),
    ]
    write_record(results, "reference_point", None, [], points)
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert (
        "- The random net (theta_0): from 90.0 %, with nothing reset, accuracy falls to 10.0 % at "
        "100 %, and ends at 10.0 % with everything reset (5 seeds)." in text
    )
    assert (
        "- The net after epoch 1: from 90.0 %, with nothing reset, accuracy falls to 40.0 % at "
        "20 %, and rises by 30.0 points to 70.0 % with everything reset (5 seeds)." in text
    )
    assert text.index("What initial means") < text.index("The eight claims")


def test_pages_of_figures_that_are_gone_are_removed(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig99.md").touch()
    write_record(tmp_path / "results", "fig2", "printed", [])
    write_pages(tmp_path / "results", tmp_path / "paper-map.md")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["fig2.md"]


def finding(statement: str, name: str, **fields: Any) -> dict[str, Any]:
    reason = "95 % interval [-0.6, -0.4] is not above 0.9, but this may be chance"
    measured = {"value": -0.5, "interval": [-0.6, -0.4], "n": 5, "reason": reason}
    return {"statement": statement, "verdict": name, "role": "part", **measured, **fields}


def test_a_claim_s_section_has_every_part_with_its_bound_and_what_stands_beside(
    tmp_path: Path,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    deciding = finding("The top grows", "not reproduced")
    unmeasured = {"value": None, "interval": None, "n": 0, "reason": "no | pair has finished"}
    findings = [
        finding("Narrow nets too", "reproduced", role="beside"),
        deciding,
        finding("The bottom grows", "reproduced"),
        finding("Both grow", "inconclusive", **unmeasured),
    ]
    answering = verdict(
        5,
        "not reproduced",
        "trainable",
        findings=findings,
        reason=f"{deciding['statement']}: {deciding['reason']}",
    )
    write_record(results, "fig5", None, [answering])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert text.count("Found not reproduced by trainable. Other parts: ✔ 1, not measured 1.") == 2
    section = text[text.index('<a id="claim-5">') : text.index('<a id="claim-6">')]
    rows = (
        "| part | The top grows | above 0.9 | ✘ | -0.5 [-0.6, -0.4] | 5 |\n"
        "| part | The bottom grows | above 0.9 | ✔ | -0.5 [-0.6, -0.4] | 5 |\n"
        "| part | Both grow |  | not measured | no \\| pair has finished |  |\n"
        "| beside | Narrow nets too | above 0.9 | ✔ | -0.5 [-0.6, -0.4] | 5 |\n"
    )
    assert rows in section


def test_other_widths_of_the_same_figure_stand_beside_the_answer(tmp_path: Path) -> None:
    """A rise that is smaller in the wider nets of another experiment would be missed."""
    results = tmp_path / "results"
    results.mkdir()
    for name, width in ((ANSWERS[2], 1_000), ("fig2-first_epoch", 10_000), ("fig3", 50)):
        found = [finding(f"Width {one:,} rises", "inconclusive") for one in (100, width)]
        judged = verdict(2, "inconclusive", "first_epoch", reason=name, findings=found)
        write_record(results, name.split("-")[0], "first_epoch", [judged])
        (results / f"{name.split('-')[0]}-first_epoch.json").rename(results / f"{name}.json")
        record = json.loads((results / f"{name}.json").read_text())
        (results / f"{name}.json").write_text(json.dumps({**record, "name": name}))
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    section = text[text.index('<a id="claim-2">') : text.index('<a id="claim-3">')]
    assert section.count("| part | Width 1,000 rises |") == 1
    assert section.count("Width 100 rises") == 1, "both experiments tell it"
    beside = "| beside, [fig2](figures/fig2.md#fig2-first_epoch) | Width 10,000 rises |"
    assert beside in section
    assert "Width 50 rises" not in section, "of another figure"


def test_many_findings_beside_the_parts_are_folded(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    found = [finding(f"Control {one}", "reproduced", role="beside") for one in range(7)]
    parts = [finding("It falls", "reproduced")]
    judged = verdict(1, "reproduced", "first_epoch", findings=[*found, *parts])
    write_record(results, "fig2", "first_epoch", [judged])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert text.index("It falls") < text.index("<summary>7 findings beside the parts</summary>")
    assert text.index("</summary>\n\n| role |") < text.index("Control 0") < text.index("</details>")


def test_a_verdict_of_an_earlier_version_is_marked_on_every_page(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    older = verdict(7, "not reproduced", "", findings=[finding("It is fast", "not reproduced")])
    for field in ("scale", "reading", "sentence", "decided_by", "n"):
        del older[field]
    del older["findings"][0]["role"]
    write_record(results, "fig10a", None, [older])
    write_pages(results, tmp_path / "paper-map.md")
    text = (tmp_path / "paper-map.md").read_text()
    assert "**✘ not reproduced**, judged by an earlier version ([fig10a]" in text
    assert "| part | It is fast | above 0.9 | ✘ |" in text
    every = (tmp_path / "paper-experiments.md").read_text()
    assert "| `other` | judged by an earlier version | [fig10a]" in every
    figure = (tmp_path / "figures" / "fig10a.md").read_text()
    assert "**not reproduced** (judged by an earlier version)." in figure


def test_every_record_has_its_own_title_in_the_list_of_presets(tmp_path: Path) -> None:
    """That of the preset's other scale names other data and another net."""
    results = tmp_path / "results"
    results.mkdir()
    for reading in ("first_epoch", "printed"):
        write_record(results, "fig2", reading, [])
    record = json.loads((results / "fig2-printed.json").read_text())
    (results / "fig2-printed.json").write_text(json.dumps({**record, "is_changed": True}))
    write_pages(results, tmp_path / "paper-map.md")
    every = (tmp_path / "paper-experiments.md").read_text()
    for name, scale in (
        ("fig2-first_epoch", "paper"),
        ("fig2-printed", "paper, preset with changes"),
    ):
        cells = f"[fig2](figures/fig2.md#{name}) | Title of {name} | {scale} | mnist, 5 seeds, 1 s"
        assert f"| {cells} |" in every
    assert "| `fig3` | " in every, "a preset without a record is listed"


def test_experiments_that_the_page_calls_parts_of_the_same_trainings_are() -> None:
    nets = {entry.name: computing.trained_nets(entry) for entry in list_entries()}
    assert nets[ANSWERS[2]] < nets["fig2-first_epoch"]
    assert nets["reference_point"] < nets["fig2-first_epoch"]


def test_an_entry_with_another_sweep_tells_what_it_leaves_out() -> None:
    entries = {entry.name: entry for entry in list_entries()}
    narrow, static = (entries[name].find_preset() for name in ("fig6", "fig7a"))
    assert "widths left out: 100 (computed: 10, 32)" in narrow.departures
    assert not any("width 100" in choice for choice in narrow.choices)
    (left_out,) = static.departures
    assert left_out.startswith("policies left out: Top 2, Bottom 1, Bottom 2, Bottom 3, Bottom 4, ")
    assert left_out.endswith(
        "(computed: Full, Top 1, Top 3, Top 4, Top 1 Bottom 1, Top 2 Bottom 2, Middle Only)"
    )
    (drawn,) = entries["fig9a"].find_preset().departures
    assert "Top 3 All Bottoms (rho = 0.1, 0.2, 0.3, 0.4, 0.5)" in drawn
    assert entries["fig9a"].find_preset().choices == (), "they tell of policies left out"
    assert Entry("fig9a", scale="paper").find_preset().choices


def test_pages_have_today_s_texts_of_an_entry_that_computes_the_same(tmp_path: Path) -> None:
    (entry,) = (one for one in list_entries() if one.name == "fig4a-first_epoch")
    results = tmp_path / "results"
    results.mkdir()
    write_record(results, "fig4a", "first_epoch", [])
    path = results / "fig4a-first_epoch.json"
    record = json.loads(path.read_text()) | {"departures": ["one that is told no more"]}
    path.write_text(json.dumps({**record, "body": entry.body()}))
    write_pages(results, tmp_path / "paper-map.md")
    figure = (tmp_path / "figures" / "fig4a.md").read_text()
    assert "Accuracy of the net after epoch 1 and of the trained net: ReLU-Nets" in figure
    assert "Test accuracy of the net after epoch 1 and of the trained net" in figure
    assert "- Departures from the paper: widths left out: 100,000 (computed: 10, " in figure
    path.write_text(json.dumps({**record, "body": {**entry.body(), "seeds": [0]}}))
    write_pages(results, tmp_path / "paper-map.md")
    figure = (tmp_path / "figures" / "fig4a.md").read_text()
    assert "Title of fig4a-first_epoch" in figure, "the entry computes other seeds"
    assert "- Departures from the paper: one that is told no more." in figure


def test_tables_name_policies_as_plots_do(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    policy = {"name": "prob_top_k_bottom_q", "k": 1, "q": 1, "rho": 0.1}
    point = {"point": {"policy": policy, "epochs": 3}, "seeds": [0], "outcome": "trained"}
    write_record(results, "fig10a", None, [], [point])
    write_pages(results, tmp_path / "paper-map.md")
    figure = (tmp_path / "figures" / "fig10a.md").read_text()
    assert "| Top 1 Bottom 1 (rho = 0.1) | 3 | 1 |" in figure


def test_published_numbers_stand_beside_ours(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    ours = {"mean": 0.88, "standard_error": 0.01, "ci95": [0.86, 0.9], "n": 3}
    points, published = [], []
    for k, accuracy in ((1, 0.7711), (4, 0.851)):
        where = {"policy": {"name": "top_k", "k": k}}
        values = {"test_accuracy": ours, "initial_test_accuracy": ours}
        values |= {"backward_seconds": ours, "backward_ratio": ours}
        points.append({"point": where, "seeds": [0, 1, 2], "outcome": "trained", **values})
        for quantity, low, high in (
            ("test_accuracy", accuracy, accuracy),
            ("backward_seconds", 2995.86, 2995.86),
            ("backward_ratio", 0.2, 0.5),
        ):
            bounds = {"at_least": low, "at_most": high, "printed": "", "source": "Table 1"}
            published.append({"quantity": quantity, "point": where, **bounds})
    write_record(results, "table1", None, [], points)
    record = json.loads((results / "table1.json").read_text())
    record["comparison"]["published"] = published
    (results / "table1.json").write_text(json.dumps(record))
    write_pages(results, tmp_path / "paper-map.md")
    figure = (tmp_path / "figures" / "table1.md").read_text()
    assert "| policy | test accuracy | test accuracy before training | backward seconds |" in figure
    heads = "| backward ratio | test accuracy, published | n |"
    assert heads in figure, "no seconds of another machine, no vague bounds"
    row = " | ".join(4 * ["0.880 ± 0.010"])
    assert f"| Top 1 | {row} | 0.7711 | 3 |\n| Top 4 | {row} | 0.851 | 3 |" in figure


def test_the_words_of_the_page_are_in_the_glossary_that_it_links(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    write_pages(tmp_path / "results", tmp_path / "paper-map.md")
    assert "(reference/glossary.md#the-paper)" in (tmp_path / "paper-map.md").read_text()
    glossary = (Path(__file__).parents[2] / "docs" / "reference" / "glossary.md").read_text()
    section = glossary[glossary.index("## The paper") : glossary.index("## The service")]
    words = ("gamma", "epsilon", "rho", "active set", "reading", "n", "finding", "bound")
    meanings = ("scale (of a verdict)", "alpha (of the active set)", "alpha (of the output)")
    policies = ("Top k", "Bottom q", "Top k Bottom q", "Top k All Bottoms")
    for word in (*words, *meanings, *policies):
        assert f"\n| {word} | " in section
