"""The list of experiments: columns, orders over all that match, groups, totals, refusals."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from storage.database.tables import AnswerRow, ExperimentRow
from storage.experiments.answers import fill_in_answers
from tests.api.api_server import ApiServer

SPECS: list[dict[str, Any]] = [
    {"spec": {"kind": "train", "epochs": 3}, "labels": {"paper": "b", "x": "1"}, "name": "Zeta"},
    {"spec": {"kind": "train", "epochs": 2}, "sweep": {"model.width": [20, 10]}, "seeds": [0, 1]},
    {"spec": {"kind": "train", "epochs": 9}, "labels": {"paper": "a"}, "name": "alpha"},
    {"spec": {"kind": "lws", "epochs": 3, "policy": {"name": "top_k", "k": 1}}},
    {
        "spec": {"kind": "lws"},
        "sweep": {"policy": [{"name": "bottom_q", "q": 1}, {"name": "full"}]},
        "labels": {"paper": "b"},
    },
]


@pytest.fixture
def filled(api_on_both_databases: ApiServer) -> tuple[ApiServer, list[str]]:
    """Five experiments: the first two have ended with a result, the third is running."""
    api = api_on_both_databases
    ids = [api.submit({**body, "reuse": False})["id"] for body in SPECS]
    for made in (ids[1], ids[0]):
        for _ in api.get(f"/experiments/{made}/runs")["items"]:
            claimed = api.claim_run(made)
            assert claimed is not None
            api.finish_run(claimed)
        api.reconcile()
    assert api.claim_run(ids[2]) is not None
    return api, ids


def names_in(api: ApiServer, ids: list[str], **params: Any) -> list[int]:
    """The places in `SPECS` of the listed experiments, page by page."""
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/experiments", **params, **cursor)
        found += [ids.index(one["id"]) for one in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def test_every_column_sorts_both_ways_over_all_pages(filled: tuple[ApiServer, list[str]]) -> None:
    api, ids = filled
    ascending = {
        "active": [2, 4, 3, 1, 0],
        "name": [2, 4, 3, 1, 0],
        "kind": [4, 3, 2, 1, 0],
        "status": [2, 4, 3, 1, 0],
        "progress": [4, 3, 2, 1, 0],
        "points": [3, 2, 0, 4, 1],
        "seeds": [4, 3, 2, 0, 1],
        "created": [0, 1, 2, 3, 4],
        "epochs": [1, 3, 0, 2, 4],
        "model.width": [1, 4, 3, 2, 0],
        "policy.name": [4, 3, 2, 1, 0],
        "policy": [4, 3, 2, 1, 0],
        "label.paper": [2, 4, 0, 3, 1],
        "result.test_accuracy": [0, 1, 4, 3, 2],
        "result.train_seconds": [1, 0, 4, 3, 2],
    }
    assert api.get(f"/experiments/{ids[4]}")["spec"]["epochs"] > 9
    for column, expected in ascending.items():
        for limit in (1, 2, 5):
            assert names_in(api, ids, sort=column, limit=limit) == expected, column
    without_value = {"label.paper": 2, "result.test_accuracy": 3, "policy.name": 3, "policy": 3}
    for column, last in without_value.items():
        found = names_in(api, ids, sort=f"-{column}", limit=2)
        known = len(ids) - last
        assert set(found[:known]) == set(ascending[column][:known]), column
        assert found[known:] == sorted(found[known:], reverse=True), "without a value: newest first"
    assert names_in(api, ids, sort="-epochs", limit=2) == [4, 2, 3, 0, 1]
    assert names_in(api, ids) == [4, 3, 2, 1, 0]


def test_groups_stand_together_and_keep_the_order(filled: tuple[ApiServer, list[str]]) -> None:
    api, ids = filled
    for limit in (1, 5):
        assert names_in(api, ids, group="paper", limit=limit) == [2, 4, 0, 3, 1]
        assert names_in(api, ids, group="paper", sort="epochs", limit=limit) == [2, 0, 4, 1, 3]


def test_columns_show_the_best_point_what_is_swept_and_labels(
    filled: tuple[ApiServer, list[str]],
) -> None:
    api, ids = filled
    columns = ["result.test_accuracy", "result.train_seconds", "model.width", "label.paper", "kind"]
    page = api.get("/experiments", fields=columns, sort="created")
    first, swept, running, _, policies = (one["fields"] for one in page["items"])
    assert page["total"] == 5
    assert swept["model.width"]["swept"] == [20, 10]
    assert first["model.width"] == {**dict.fromkeys(first["model.width"]), "value": 100}
    result = swept["result.test_accuracy"]
    assert (result["value"], result["n"], result["points"]) == (0.905, 2, 2)
    assert result["point"] == {"model.width": 20}, "of equal points the first"
    assert result["standard_error"] == pytest.approx(0.005)  # of 0.90 and 0.91
    assert set(running) == {"kind", "model.width", "label.paper"}, "no result yet"
    assert policies["label.paper"]["value"] == "b"
    plain = api.get("/experiments")
    assert plain["total"] == 5
    assert all(one["fields"] is None for one in plain["items"])
    titles = [one["title"] for one in plain["items"]]
    assert titles[2:] == ["alpha", "train, width 20 and 10, epochs 2", "Zeta"]
    chosen = api.get("/experiments", id=[ids[3], ids[0], "exp_unknown"], limit=1)
    assert (chosen["total"], chosen["items"][0]["id"]) == (2, ids[3])


def test_numbers_follow_their_experiment(filled: tuple[ApiServer, list[str]]) -> None:
    api, ids = filled

    def stored() -> dict[str, set[str]]:
        with api.db.read() as session:
            found: dict[str, set[str]] = {}
            for row in session.scalars(select(AnswerRow)):
                found.setdefault(row.experiment_id, set()).add(row.name)
            return found

    before = stored()
    assert set(before) == set(ids[:2])
    assert "test_accuracy" in before[ids[0]]
    # Results of an earlier version have none: the reconciler adds them, the same ones.
    with api.db.write() as session:
        session.execute(delete(AnswerRow))
        session.execute(update(ExperimentRow).values(answers_version=0))
    assert stored() == {}
    assert fill_in_answers(api.db) == 2
    assert stored() == before
    assert fill_in_answers(api.db) == 0
    # An extension makes them outdated, a deletion ends them.
    extended = api.http.post(f"/experiments/{ids[0]}/extend", json={"seeds": [5]})
    assert extended.status_code == 200
    assert set(stored()) == {ids[1]}
    assert api.http.delete(f"/experiments/{ids[1]}").status_code == 200
    assert stored() == {}


def test_an_unknown_column_is_refused_with_what_is_possible(
    filled: tuple[ApiServer, list[str]],
) -> None:
    api, _ = filled
    cases = {
        "optimizer.lrr": "did you mean `optimizer.lr`?",
        "statu": "did you mean `status`?",
        "result.test_acuracy": "did you mean `result.test_accuracy`?",
        "no such": "there is no column 'no such'",
        "label.": "there is no column 'label.'",
        "a'; DROP TABLE experiment; --": "there is no column",
    }
    for column, hint in cases.items():
        params = {"sort": f"-{column}", "fields": ["kind", column]}
        refused = api.http.get("/experiments", params=params)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (422, "invalid-request")
        pointers = [error["pointer"] for error in problem["errors"]]
        assert pointers == ["#/query/sort", "#/query/fields"]
        assert hint in problem["errors"][0]["detail"]
        assert "optimizer.lr" in problem["detail"]
        assert "result.NAME" in problem["detail"]
    many = {"fields": [f"label.{number}" for number in range(41)]}
    refused = api.http.get("/experiments", params=many)
    assert "41 columns" in refused.json()["errors"][0]["detail"]


def test_a_cursor_of_another_order_is_refused(filled: tuple[ApiServer, list[str]]) -> None:
    api, _ = filled
    cursor = api.get("/experiments", sort="epochs", limit=1)["next_cursor"]
    newest = api.get("/experiments", limit=1)["next_cursor"]
    pairs = [("-epochs", cursor), ("name", cursor), (None, cursor), ("epochs", newest)]
    for sort, given in pairs:
        params = {"cursor": given, **({"sort": sort} if sort else {})}
        assert api.http.get("/experiments", params=params).status_code == 422, sort


def test_names_of_any_characters_have_a_cursor(api_on_both_databases: ApiServer) -> None:
    api = api_on_both_databases
    names = sorted(["𝜃" * 200, "ä'\"\\" * 50, "z" * 200, "𝜃" * 199])
    for name, _ in product(names, range(2)):
        api.submit({"spec": {"kind": "train"}, "reuse": False, "name": name})
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/experiments", sort="name", limit=1, **cursor)
        found += [one["name"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(found) == sorted(names * 2)
    assert found[::2] == found[1::2], "equal names stand together"
