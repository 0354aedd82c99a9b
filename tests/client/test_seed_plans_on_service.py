"""Seeds until the verdicts are decided, on a whole service: judges, workers, broker, API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from richregime import Client
from richregime.enums import ExperimentStatus, PlanEnd

pytestmark = pytest.mark.xdist_group("whole_service")

SPEC: dict[str, Any] = {
    "kind": "reinit_sweep",
    "data": {"name": "digits", "train_size": 1000},
    "model": {"name": "relu_net", "width": 1000},
    "modes": ["lazy"],
    "fractions_percent": [0, 10, 100],
}
"""One net, its lazy parameters alone: only claim 4 is judged."""
PLAN: dict[str, Any] = {"until": "decided", "first": 3, "step": 3, "at_most": 9}


@pytest.fixture(scope="module")
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url) as opened:
        yield opened


def looks_of(client: Client, experiment_id: str) -> list[dict[str, Any]]:
    """The data of the events of its looks."""
    events = client.events(experiment_id)
    return [dict(event.data) for event in events if event.name == "experiment.looked"]


@pytest.mark.parametrize(("epochs", "adds_seeds"), [(4, False), (2, True)])
def test_seeds_are_added_until_the_verdict_is_decided(
    client: Client, epochs: int, adds_seeds: bool
) -> None:
    """After 4 epochs all seeds lose 10 points, after 2 epochs one loses more than the others."""
    submitted = client.submit({**SPEC, "epochs": epochs}, seeds=PLAN)
    experiment = client.wait(submitted.id, timeout=240)
    assert experiment.status == ExperimentStatus.SUCCEEDED, experiment.detail
    plan, looks = experiment.seed_plan, looks_of(client, experiment.id)
    assert plan is not None
    assert (plan.ended, plan.looks_planned) == (PlanEnd.DECIDED, 3)
    assert [one["decided"] for one in looks] == [False] * (len(looks) - 1) + [True]
    assert [one["seeds"] for one in looks] == [3, 6, 9][: len(looks)]
    assert (len(looks) > 1) == adds_seeds
    assert experiment.seeds == list(range(3 * len(looks)))
    assert plan.looks_made == len(looks)
    comparison = client.comparison(experiment.id)
    assert (comparison.complete, comparison.confidence) == (True, 1 - 0.05 / 3)
    (verdict,) = comparison.verdicts
    (told,) = looks[-1]["verdicts"]
    assert (verdict.claim, verdict.n) == (4, len(experiment.seeds))
    assert (told["verdict"], told["n"]) == (verdict.verdict, verdict.n)
    assert (told["value"], tuple(told["interval"])) == (verdict.value, verdict.interval)
    assert all(one["verdicts"][0]["verdict"] == "inconclusive" for one in looks[:-1])
    assert client.result(experiment.id).seeds == len(experiment.seeds)
    again = client.submit({**SPEC, "epochs": epochs}, seeds=PLAN)
    assert (again.id, again.reused) == (experiment.id, True)
