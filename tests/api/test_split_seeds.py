"""Stacked seeds are split over the workers that are free at the submission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import col, delete

from storage.database.tables import RunRow, WorkerRow
from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer

LONG: dict[str, Any] = {"kind": "train", "model": {"name": "relu_net", "width": 512}, "epochs": 50}
RESETS = [{"name": "init"}, {"name": "step", "step": 3}]


@pytest.fixture
def alone(api_server: ApiServer) -> Iterator[ApiServer]:
    """No worker and no run but those of the test."""
    with api_server.db.write() as session:
        session.execute(delete(WorkerRow))
        session.execute(delete(RunRow).where(col(RunRow.status) == "queued"))
    yield api_server
    with api_server.db.write() as session:
        session.execute(delete(WorkerRow))


def submit(api_server: ApiServer, **fields: Any) -> list[list[int]]:
    """The seeds of each run, by run."""
    body = {"spec": LONG, "seeds": [0, 1, 2, 3, 4], "reuse": False, **fields}
    preview = api_server.http.post("/experiments/preview", json=body).json()
    experiment_id = api_server.submit(body)["id"]
    runs = api_server.get(f"/experiments/{experiment_id}/runs")["items"]
    assert preview["num_runs"] == len(runs)
    return sorted(run["seeds"] for run in runs)


def test_two_free_workers_share_the_seeds_of_one_point(alone: ApiServer) -> None:
    announce_worker(alone, slots=2)
    assert submit(alone) == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("slots", "fields", "expected"),
    [
        (0, {}, [[0, 1, 2, 3, 4]]),
        (1, {}, [[0, 1, 2, 3, 4]]),
        (9, {}, [[0], [1], [2], [3], [4]]),
        (3, {"sweep": {"model.width": [511, 512]}}, [[0, 1, 2, 3, 4]] * 2),
        (4, {"sweep": {"model.width": [511, 512]}}, [[0, 1, 2]] * 2 + [[3, 4]] * 2),
        (2, {"execution": {"seeds_per_run": 5}}, [[0, 1, 2, 3, 4]]),
        (2, {"execution": {"requires": {"gpu": "h100"}}}, [[0, 1, 2, 3, 4]]),
        (2, {"spec": {"kind": "train", "epochs": 1}}, [[0, 1, 2, 3, 4]]),
    ],
    ids=["none", "one", "many", "too few", "two points", "asked", "unfit", "short"],
)
def test_seeds_are_split_where_free_workers_gain_by_it(
    alone: ApiServer, slots: int, fields: dict[str, Any], expected: list[list[int]]
) -> None:
    if slots:
        announce_worker(alone, slots=slots)
    assert submit(alone, **fields) == expected


def test_points_that_share_a_training_count_once(alone: ApiServer) -> None:
    announce_worker(alone, slots=2)
    swept = {"spec": {**LONG, "kind": "reinit_sweep"}, "sweep": {"reset_to": RESETS}, "reuse": True}
    assert submit(alone, **swept) == [[0, 1, 2]] * 2 + [[3, 4]] * 2


def test_waiting_runs_come_first(alone: ApiServer) -> None:
    announce_worker(alone, slots=4)
    assert submit(alone, seeds=[7]) == [[7]]
    assert submit(alone) == [[0, 1, 2, 3, 4]]


def test_added_seeds_are_counted_as_they_are_split(alone: ApiServer) -> None:
    announce_worker(alone, slots=2)
    spec = {**LONG, "kind": "reinit_sweep"}
    seeds = {"until": "decided", "first": 4, "step": 4, "at_most": 8}
    body = {"spec": spec, "seeds": seeds, "reuse": False}
    preview = alone.http.post("/experiments/preview", json=body).json()
    assert (preview["num_runs"], preview["growth"]["num_runs"]) == (2, 4)


def test_a_worker_that_computes_is_not_free(alone: ApiServer) -> None:
    announce_worker(alone, slots=2)
    experiment_id = alone.submit({"spec": LONG, "seeds": [0], "reuse": False})["id"]
    claim = alone.claim_run(experiment_id)
    assert claim is not None
    with alone.db.write() as session:
        session.get_one(RunRow, claim.run_id).worker = "h:1:2"
    assert submit(alone) == [[0, 1, 2, 3, 4]]
