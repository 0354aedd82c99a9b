"""GET /experiments/compare: experiments side by side, as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.comparison import ExperimentComparison
from tests.api.api_server import ApiServer

TRAIN: dict[str, Any] = {"spec": {"kind": "train", "epochs": 3}, "reuse": False}
SWEEP = {"model.width": [10, 20]}


def compare(api_server: ApiServer, *ids: str, **params: str) -> ExperimentComparison:
    found = api_server.get("/experiments/compare", id=list(ids), **params)
    return ExperimentComparison.model_validate(found)


@pytest.fixture(scope="module")
def first(api_server: ApiServer) -> str:
    body = {**TRAIN, "sweep": SWEEP, "seeds": [0, 1], "name": "first"}
    experiment_id = str(api_server.submit(body)["id"])
    api_server.finish_all_runs(experiment_id)
    return experiment_id


@pytest.fixture(scope="module")
def second(api_server: ApiServer) -> str:
    body = {
        **TRAIN,
        "spec": {"kind": "train", "epochs": 5},
        "sweep": {"model.width": [20, 30]},
        "seeds": [0, 1, 2],
    }
    experiment_id = str(api_server.submit(body)["id"])
    api_server.finish_all_runs(experiment_id, epochs=5)
    return experiment_id


@pytest.fixture(scope="module")
def unfinished(api_server: ApiServer) -> str:
    return str(api_server.submit({**TRAIN, "spec": {"kind": "lws"}})["id"])


def test_experiments_are_listed_in_the_order_of_the_request(
    api_server: ApiServer, first: str, second: str
) -> None:
    found = compare(api_server, second, first, second)
    assert [(one.id, one.name, one.kind) for one in found.experiments] == [
        (second, None, "train"),
        (first, "first", "train"),
    ]


def test_only_fields_that_differ_are_listed_with_their_values(
    api_server: ApiServer, first: str, second: str
) -> None:
    rows = {row.path: row.values for row in compare(api_server, first, second).spec}
    assert rows == {
        "spec.epochs": {first: 3, second: 5},
        "sweep.model.width": {first: [10, 20], second: [20, 30]},
        "seeds": {first: [0, 1], second: [0, 1, 2]},
    }


def test_a_field_that_an_experiment_lacks_has_no_value_for_it(
    api_server: ApiServer, first: str, unfinished: str
) -> None:
    rows = {row.path: row.values for row in compare(api_server, first, unfinished).spec}
    assert rows["spec.policy.name"].keys() == {unfinished}
    assert rows["sweep.model.width"].keys() == {first}


def test_points_are_matched_by_their_values_and_differ_from_the_first_experiment(
    api_server: ApiServer, first: str, second: str
) -> None:
    found = compare(api_server, first, second, quantity="test_accuracy")
    (only,) = found.results
    assert only.quantity == found.quantities[0] == "test_accuracy"
    assert [(row.point, list(row.values)) for row in only.points] == [
        ({"model.width": 10}, [first]),
        ({"model.width": 20}, [first, second]),
        ({"model.width": 30}, [second]),
    ]
    both, alone = only.points[1].values, only.points[2].values[second]
    assert both[first].mean == pytest.approx(0.905)
    assert (both[first].n, both[first].difference) == (2, None)
    assert both[second].mean == pytest.approx(0.91)
    assert both[second].n == 3
    difference = both[second].difference
    assert difference is not None
    assert difference.mean == pytest.approx(0.005)
    assert difference.ci95 is not None
    assert difference.ci95[0] < difference.mean < difference.ci95[1]
    assert alone.difference is None


def test_without_a_quantity_all_of_them_are_compared(
    api_server: ApiServer, first: str, second: str
) -> None:
    found = compare(api_server, first, second)
    assert [one.quantity for one in found.results] == found.quantities
    assert {"test_accuracy", "train_loss"} <= set(found.quantities)


def test_an_experiment_without_a_result_has_no_values(
    api_server: ApiServer, first: str, unfinished: str
) -> None:
    found = compare(api_server, unfinished, first, quantity="test_accuracy")
    values = [row.values for row in found.results[0].points]
    assert [list(one) for one in values] == [[first], [first]]
    assert all(one[first].difference is None for one in values)
    nothing = compare(api_server, unfinished, unfinished)
    assert (nothing.quantities, nothing.results, nothing.spec) == ([], [], [])


@pytest.mark.parametrize("num_ids", [0, 1, 9])
def test_fewer_than_two_ids_and_more_than_eight_are_refused(
    api_server: ApiServer, first: str, num_ids: int
) -> None:
    response = api_server.http.get("/experiments/compare", params={"id": [first] * num_ids})
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


def test_an_unknown_experiment_or_quantity_is_not_found(api_server: ApiServer, first: str) -> None:
    response = api_server.http.get("/experiments/compare", params={"id": [first, "exp_none"]})
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    params = {"id": [first, first], "quantity": "taste"}
    response = api_server.http.get("/experiments/compare", params=params)
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert "known: test_accuracy" in response.json()["detail"]
