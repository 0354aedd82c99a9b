"""`richregime check`: lines, exit codes and JUnit XML."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from richregime import AsyncClient, Client, Comparison, Experiment, ProblemError
from richregime.checks import ClaimCheck, read_check
from tests.client.conftest import Invoke

HOSTILE = 'x"<&>\x07[bold]'
SMALL = {
    "spec": {
        "kind": "train",
        "epochs": 1,
        "data": {"name": "digits", "train_size": 64, "test_size": 32},
        "model": {"width": 4},
    },
    "sweep": {"model.depth": [1, 2]},
    "seeds": [0, 1, 2],
}
HOLDS = {"name": HOSTILE, "quantity": "test_accuracy", "at_least": 0.0}
FAILS = {"name": "no loss", "quantity": "train_loss", "at_most": 0.0}
OPEN = {"name": "open", "quantity": "test_accuracy", "point": 1, "versus": 0, "within": [0, 1e-9]}


def check_of(experiment: Experiment, *verdicts: str, complete: bool = True) -> ClaimCheck:
    own: list[dict[str, Any]] = [
        {
            "name": HOSTILE,
            "statement": "",
            "quantity": "test_accuracy",
            "unit": "accuracy",
            "point": {},
            "versus": None,
            "verdict": verdict,
            "sentence": f"It is {verdict}.",
            "value": 0.5,
            "interval": None,
            "n": 3,
            "confidence": 0.95,
            "reason": "",
        }
        for verdict in verdicts
    ]
    comparison = Comparison.model_validate(
        {
            "experiment_id": experiment.id,
            "kind": "train",
            "complete": complete,
            "verdicts": [],
            "own_verdicts": own,
            "published": [],
            "departures": [],
            "choices": [],
            "note": "",
        }
    )
    return read_check(experiment, comparison, paper=False)


@pytest.fixture(scope="module")
def made(service_url: str) -> Experiment:
    """An experiment that has ended, with one claim that holds, one that fails, one left open."""
    with Client(service_url) as client:
        found = client.submit(SMALL, claims=[HOLDS, FAILS, OPEN])
        return client.wait(found.id, timeout=120)


@pytest.mark.parametrize(
    ("verdicts", "complete", "expected"),
    [
        (["reproduced", "reproduced"], True, "reproduced"),
        (["reproduced", "inconclusive"], True, "inconclusive"),
        (["reproduced", "inconclusive", "not reproduced"], True, "not reproduced"),
        (["reproduced"], False, "inconclusive"),
        (["not reproduced"], False, "inconclusive"),
        ([], True, "inconclusive"),
    ],
)
def test_one_refuted_claim_refutes_and_all_must_hold(
    made: Experiment, verdicts: list[str], complete: bool, expected: str
) -> None:
    assert check_of(made, *verdicts, complete=complete).verdict == expected


def test_junit_has_a_case_for_each_claim(made: Experiment) -> None:
    text = check_of(made, "reproduced", "not reproduced", "inconclusive").to_junit()
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    for one in (root, suite):
        counts = {name: one.attrib[name] for name in ("tests", "failures", "errors")}
        assert counts == {"tests": "3", "failures": "1", "errors": "1"}
    assert [case.attrib["name"] for case in suite] == ['x"<&>\ufffd[bold]'] * 3
    assert {case.attrib["classname"] for case in suite} == {f"richregime.{made.id}"}
    assert [[inner.tag for inner in case] for case in suite] == [[], ["failure"], ["error"]]
    failure = suite[1][0]
    assert (failure.text, failure.attrib["message"]) == ("It is not reproduced.",) * 2


@pytest.mark.parametrize(
    ("verdicts", "complete"), [([], True), (["reproduced"], False), (["not reproduced"], False)]
)
def test_junit_has_an_error_where_nothing_is_decided(
    made: Experiment, verdicts: list[str], complete: bool
) -> None:
    text = check_of(made, *verdicts, complete=complete).to_junit()
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    assert (root.attrib["errors"], root.attrib["failures"]) == ("1", "0")


def check(invoke: Invoke, client: Client, experiment_id: str, *options: str) -> Any:
    return invoke("check", experiment_id, *options, "--url", client.url)


def test_the_command_prints_a_line_for_each_claim_and_exits_with_1(
    made: Experiment, invoke: Invoke, service_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "claims.xml"
    with Client(service_url) as client:
        done = check(invoke, client, made.id, "--junit", str(file))
        asked = client.check(made.id)
        both = client.check(made.id, paper=True, wait=False)
        as_json = check(invoke, client, made.id, "--json")
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [one.verdict for one in asked.claims]
    assert [one.verdict for one in asked.claims][:2] == ["reproduced", "not reproduced"]
    assert "[bold]" in lines[0]
    assert "\x07" not in done.stdout
    assert "against the claim: at most 0." in lines[1]
    assert file.read_text(encoding="utf-8") == asked.to_junit()
    assert len(both.claims) >= len(asked.claims)
    assert json.loads(as_json.stdout)["verdict"] == "not reproduced"


@pytest.mark.parametrize(("claims", "code"), [([HOLDS], 0), ([HOLDS, OPEN], 7), ([], 7)])
def test_the_exit_code_tells_what_holds(
    invoke: Invoke, service_url: str, made: Experiment, claims: list[Any], code: int
) -> None:
    with Client(service_url) as client:
        found = client.submit(SMALL, claims=claims)
        done = check(invoke, client, found.id)
    assert done.exit_code == code, done.output


def test_without_waiting_an_unfinished_experiment_is_undecided(
    invoke: Invoke, service_url: str
) -> None:
    with Client(service_url) as client:
        waits = {"requires": {"nowhere": "yes"}}
        slow = client.submit(SMALL, seeds=[3, 4, 5], claims=[HOLDS], execution=waits)
        done = check(invoke, client, slow.id, "--no-wait")
        late = check(invoke, client, slow.id, "--timeout", "0.2")
        client.cancel(slow.id)
        ended = check(invoke, client, slow.id)
        with pytest.raises(ProblemError, match="not-found"):
            client.check("exp_nothing", wait=False)
    assert (done.exit_code, late.exit_code, ended.exit_code) == (7, 6, 7)
    assert "no run has finished" in done.stdout


@pytest.mark.parametrize("options", [{}, {"paper": True}, {"wait": False}])
def test_both_clients_check_alike(
    made: Experiment, service_url: str, options: dict[str, bool]
) -> None:
    async def check_async(experiment_id: str) -> ClaimCheck:
        async with AsyncClient(service_url) as client:
            with pytest.raises(ProblemError, match="not-found"):
                await client.check("exp_nothing", wait=False)
            return await client.check(experiment_id, **options)

    with Client(service_url) as client:
        waits = {"requires": {"nowhere": "yes"}}
        queued = client.submit(SMALL, seeds=[6, 7, 8], claims=[HOLDS], execution=waits)
        for experiment_id in [made.id, queued.id] if options.get("wait") is False else [made.id]:
            assert asyncio.run(check_async(experiment_id)) == client.check(experiment_id, **options)
        client.cancel(queued.id)
