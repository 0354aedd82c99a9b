"""The comparison with published numbers: its rules, its rows and its page."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import known
from benchmarks.known import Row, Work, measure, write_page
from benchmarks.known_rows import list_answers
from benchmarks.known_rules import (
    at_most,
    contains,
    could_be_drawn,
    lies_between,
    mean_interval,
)
from benchmarks.options import Options
from benchmarks.width_slopes import slope_over
from engine.experiments.registry import parse_spec

SMOKE = Options(Path("unused"), None, smoke=True, peers=False)
PUBLISHED = Options(Path("unused"), Path("data"), smoke=False, peers=False)


def test_the_rules_by_hand() -> None:
    """Three values with mean 0.5 and standard deviation 0.1; t = 4.302653 and 9.924843."""
    values = [0.4, 0.5, 0.6]
    reach = 0.1 / 3**0.5
    assert mean_interval(values) == pytest.approx((0.5 - 4.302653 * reach, 0.5 + 4.302653 * reach))
    assert contains(0.5 + 9.9 * reach)(values)
    assert not contains(0.5 + 9.95 * reach)(values)
    assert could_be_drawn(0.5 + 4.30 * 0.1 * (4 / 3) ** 0.5)(values)
    assert not could_be_drawn(0.5 + 4.31 * 0.1 * (4 / 3) ** 0.5)(values)
    assert at_most(0.5 + 4.31 * reach)(values)
    assert not at_most(0.5 + 4.30 * reach)(values)
    assert lies_between(0.5 - 4.31 * reach, 0.5 + 4.31 * reach)(values)
    assert not lies_between(0.5 - 4.30 * reach, 0.9)(values)
    assert not lies_between(0.1, 0.5 + 4.30 * reach)(values)


def test_every_row_has_a_valid_spec_and_says_where_its_number_comes_from() -> None:
    answers = list(list_answers(PUBLISHED))
    assert len({(one.setting, one.identity(None)) for one in answers}) == len(answers)
    for one in answers:
        for spec in (one.spec, *one.further):
            parse_spec(dict(spec))
        assert one.source
        assert one.rule
        assert one.seeds >= 2, "an interval needs two"


def test_a_stored_row_is_not_computed_again(tmp_path: Path) -> None:
    first = next(list_answers(SMOKE))
    row = Row(
        first.setting, "0.1", "source", [0.1, 0.2], "rule", True, "note", first.identity(None)
    )
    options = Options(tmp_path, None, smoke=True, peers=False)
    assert next(measure(options, [asdict(row)])) == replace(row, note=first.note, rule=first.rule)
    again = next(measure(options, [{**asdict(row), "identity": "other"}]))
    assert len(again.values) == first.seeds
    assert all(0 <= value <= 0.5 for value in again.values)


def test_a_number_of_several_specs_is_of_the_results_of_each_seed() -> None:
    """A power law of width 8 and 16."""
    slope = slope_over(SMOKE, "movement")
    narrow, wide = (SimpleNamespace(probes={"movement": 3 * width**-0.5}) for width in (8, 16))
    assert slope(narrow, wide) == pytest.approx(-0.5)


def test_the_page_tells_values_rule_and_agreement() -> None:
    row = Row("a net", "0.5", "a source", [0.4, 0.5, 0.6], "the rule", False, "smaller", "id")
    machine = {"processor": "CPU", "versions": {"torch": "2"}}
    (missing,) = (one for one in list_answers(SMOKE) if one.source == "the paper, Table 1")
    other = replace(row, setting="another", agrees=True, spec={"data": {"name": "cifar10-jpeg"}})
    document = {"machine": machine, "data": "MNIST", "rows": [asdict(row), asdict(other)]}
    page = write_page([document], [missing])
    first, second = "([note 1](#notes))", "([note 2](#notes))"
    ours = "0.5000 [0.2516, 0.7484] | 3"
    assert f"| a net {first} | 0.5 | a source | {ours} | the rule | **no** |" in page
    assert f"| another {first} | 0.5 | a source | {ours} | the rule | yes |" in page
    told = "2 rows computed on CPU (torch 2); data: MNIST and JPEG copies of CIFAR-10."
    assert told in page
    needs = "0.9080 | the paper, Table 1 | a GPU, and `--gpu` |"
    assert f"| {missing.setting} {second} | {needs}" in page
    assert f"\n1. smaller.\n2. {missing.note}.\n" in page


def test_the_published_page_tells_every_answer_computed_or_not() -> None:
    page = known.PAGE.read_text()
    for answer in list_answers(PUBLISHED):
        assert f"| {answer.setting} (" in page or f"| {answer.setting} |" in page
        assert answer.note in page


def test_random_nets_that_classify_as_another_row_s_say_so() -> None:
    """Of the stored values: each seed of these nets has the accuracy of the net of width 100."""
    values = {row["setting"]: row["values"] for row in known.read_stored(known.STORED)}
    net = "random ReLU-Net of width 100"
    same = values[f"{net}, one hidden layer: test accuracy"]
    for answer in list_answers(PUBLISHED):
        if answer.setting.startswith("random ReLU-Net"):
            is_repeated = answer.setting.startswith(f"{net} ")
            assert ("no further evidence" in answer.note) is is_repeated
            assert (values[answer.setting] == same) is (is_repeated or f"{net}," in answer.setting)


@pytest.mark.parametrize("needs_gpu", [False, True])
def test_a_row_goes_on_from_what_an_earlier_call_kept(
    needs_gpu: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = "the paper, Table 1" if needs_gpu else "arXiv 1804.08838"
    (answer,) = (one for one in list_answers(SMOKE) if one.source == source)
    small = {
        "kind": "train",
        "data": {"name": "digits", "train_size": 64, "test_size": 32},
        "model": {"name": "relu_net", "width": 4},
        "epochs": 2,
    }
    monkeypatch.setattr(known, "list_answers", lambda _: iter([replace(answer, spec=small)]))
    options = Options(tmp_path, None, smoke=True, peers=False)
    assert list(measure(options, [], Work(needs_gpu=not needs_gpu))) == [], "it is not asked for"
    work = Work(needs_gpu=needs_gpu, keep=tmp_path / "kept")
    late = replace(work, deadline=0.0)
    assert list(measure(options, [], late)) == []
    assert list((tmp_path / "kept").rglob("resume*"))
    (row,) = measure(options, [], work)
    (alone,) = measure(options, [], Work(needs_gpu=needs_gpu))
    assert (row.values, len(row.values)) == (alone.values, 3)
    assert list(measure(options, [asdict(row)], late)) == [row]


def test_calls_that_would_spoil_the_page_or_cannot_be_done_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(known, "choose_gpu", lambda _: "cuda")
    out = str(tmp_path / "out.json")
    for call, told in (
        (["--smoke"], "--smoke needs --out"),
        (["--seconds", "1"], "--seconds needs --keep"),
        (["--gpu", "--data-dir", str(tmp_path), "--out", out], "cifar10-jpeg.npz"),
    ):
        with pytest.raises(SystemExit):
            known.main(call)
        assert told in capsys.readouterr().err
