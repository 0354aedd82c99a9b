"""Looks at verdicts: their number, their price, and the error rate that it keeps."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.analysis.stats import summarize
from engine.paper.claims import get_claim
from engine.paper.looks import confidence_of_look, count_looks, read_look
from engine.paper.verdict import Measurement, Subject, Verdict, conclude, unmeasured

MARGIN = -0.02
SUBJECT = Subject(specs=(), num_seeds=5)


def judge(*measurements: Measurement, confidence: float = 0.95) -> Verdict:
    return conclude(get_claim(4), measurements, SUBJECT, confidence)


def measured(*values: float) -> Measurement:
    return Measurement("accuracy lost is above the margin", summarize(values), above=MARGIN)


def seeds_at_looks(first: int, step: int, at_most: int) -> list[int]:
    return [*range(first, at_most, step), at_most]


@pytest.mark.parametrize("first", [3, 5, 7])
@pytest.mark.parametrize("step", [1, 2, 5, 40])
@pytest.mark.parametrize("more", [0, 1, 4, 5, 6, 35])
def test_every_step_and_the_most_seeds_have_a_look(first: int, step: int, more: int) -> None:
    assert count_looks(first, step, first + more) == len(seeds_at_looks(first, step, first + more))


def test_the_looks_together_pay_five_percent() -> None:
    assert confidence_of_look(1) == 0.95
    assert confidence_of_look(8) == 1 - 0.05 / 8


def test_a_look_decides_where_every_verdict_is_decided() -> None:
    above, below = judge(measured(0.1, 0.11, 0.12)), judge(measured(-0.1, -0.11, -0.12))
    unclear = judge(measured(-0.1, 0.1, 0.0))
    assert (above.verdict, below.verdict) == ("reproduced", "not reproduced")
    assert unclear.verdict == "inconclusive"
    assert read_look([above, below]).decided
    found = read_look([above, unclear])
    assert not found.decided
    assert found.is_open


def test_a_claim_that_theory_decides_is_decided() -> None:
    assert read_look([judge(unmeasured("rises", "", theory="it cannot rise"))]).decided


def test_no_seeds_are_added_for_what_no_seeds_decide() -> None:
    nothing = judge(unmeasured("the widest net", "no net has a width of 1,000"))
    found = read_look([nothing])
    assert (found.decided, found.is_open) == (False, False)
    none = read_look([])
    assert (none.decided, none.is_open) == (False, False)
    both = judge(unmeasured("the widest net", "none is wide"), measured(-0.1, 0.1, 0.0))
    assert read_look([both]).is_open


def test_few_seeds_leave_a_verdict_open() -> None:
    assert read_look([judge(measured(0.1, 0.11))]).is_open


def share_decided_falsely(num_experiments: int, confidence: float) -> float:
    """Experiments at the margin, where each decision is false, that are decided at some look."""
    rng = random.Random(16)
    decided = 0
    for _ in range(num_experiments):
        values = [rng.gauss(MARGIN, 0.01) for _ in range(40)]
        decided += any(
            read_look([judge(measured(*values[:number]), confidence=confidence)]).decided
            for number in seeds_at_looks(5, 5, 40)
        )
    return decided / num_experiments


def test_paid_looks_keep_the_error_rate_and_unpaid_ones_do_not() -> None:
    """8 looks at 5 to 40 seeds. The standard error of each share is 0.4 points at most."""
    num_looks = count_looks(5, 5, 40)
    assert num_looks == 8
    assert share_decided_falsely(2_000, confidence_of_look(num_looks)) <= 0.05
    assert share_decided_falsely(2_000, 0.95) > 0.12


def test_the_engine_alone_takes_a_list_of_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"spec": {"kind": "train"}, "seeds": {"until": "decided"}}))
    assert main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "#/seeds: the engine alone computes a list of seeds" in capsys.readouterr().err
