"""A stored value that is not valid JSON or has another shape is reported; other rows are fine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.postgres import new_database

BODY: dict[str, Any] = {
    "spec": {"kind": "train", "epochs": 1},
    "sweep": {"model.width": [5, 6]},
    "labels": {"of": "both"},
    "reuse": False,
}
IN_EXPERIMENT_ROW = [
    ("labels", "{"),
    ("labels", '{"of": 3}'),
    ("spec", "nonsense"),
    ("sweep", "[1]"),
    ("seeds", "3"),
    ("execution", '{"device": "abacus"}'),
]
IN_OTHER_ROWS = [
    ("run", "result", "[{"),
    ("run", "result", '[{"outcome": 1}]'),
    ("point", "spec", '{"kind": "gone"}'),
    ("point", '"values"', "null"),
]


@pytest.fixture(scope="module")
def api_server(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """Does not reconcile by itself."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home, reconcile_seconds=3600)) as opened:
        yield opened


def damage(
    api_server: ApiServer, table: str, column: str, value: str | bytes, experiment_id: str
) -> None:
    """Write an unchecked value into the experiment's first row of the table."""
    key = "id" if table == "experiment" else "experiment_id"
    stored_as = "TEXT" if api_server.db.is_sqlite else "JSON"
    statement = f"""UPDATE {table} SET {column} = CAST(:value AS {stored_as})
        WHERE id = (SELECT id FROM {table} WHERE {key} = :key ORDER BY id LIMIT 1)"""
    with api_server.db.write() as session:
        session.execute(text(statement), {"value": value, "key": experiment_id})


def submit(api_server: ApiServer) -> str:
    found: str = api_server.submit(BODY)["id"]
    return found


def ids_in(page: Any) -> list[str]:
    return [one["id"] for one in page["items"]]


def finish(api_server: ApiServer, experiment_id: str) -> None:
    """Finish every run, without making the summary."""
    while (claim := api_server.claim_run(experiment_id)) is not None:
        api_server.finish_run(claim, epochs=1)


@pytest.mark.parametrize(("column", "value"), IN_EXPERIMENT_ROW)
def test_a_damaged_experiment_is_listed_as_unreadable_and_can_be_deleted(
    api_server: ApiServer, column: str, value: str
) -> None:
    good, bad = submit(api_server), submit(api_server)
    damage(api_server, "experiment", column, value, bad)
    listed = {
        one["id"]: one["unreadable"] for one in api_server.get("/experiments", limit=200)["items"]
    }
    assert (listed[good], listed[bad]) == ([], [column])
    assert api_server.get(f"/experiments/{bad}")[column] in (
        {},
        [],
        api_server.get(f"/experiments/{good}")["execution"],
    )
    assert good in ids_in(api_server.get("/experiments", label="of:both", limit=200))
    pages = ("/", f"/view/{bad}", f"/compare?id={good}&id={bad}")
    assert all(
        column in api_server.http.get(path, headers={"accept": "text/html"}).text
        for path in pages[:2]
    )
    assert all(api_server.http.get(path).status_code == 200 for path in pages)
    assert api_server.http.post(f"/experiments/{bad}/cancel").status_code == 200
    assert api_server.http.delete(f"/experiments/{bad}").json()["deleted"]
    assert bad not in ids_in(api_server.get("/experiments", limit=200))


def test_a_change_repairs_the_value_that_it_writes(api_server: ApiServer) -> None:
    bad = submit(api_server)
    damage(api_server, "experiment", "labels", "{", bad)
    changed = api_server.http.patch(f"/experiments/{bad}", json={"labels": {"repaired": "yes"}})
    assert changed.json()["unreadable"] == []
    assert bad in ids_in(api_server.get("/experiments", label="repaired:yes"))


@pytest.mark.parametrize(("table", "column", "value"), IN_OTHER_ROWS)
def test_a_damaged_run_or_point_is_reported_by_the_result_and_logged_once(
    api_server: ApiServer, caplog: pytest.LogCaptureFixture, table: str, column: str, value: str
) -> None:
    good, bad = submit(api_server), submit(api_server)
    for one in (good, bad):
        finish(api_server, one)
    damage(api_server, table, column, value, bad)
    name = column.strip('"')
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            api_server.reconcile()
    logged = [record.getMessage() for record in caplog.records if bad in record.getMessage()]
    assert logged == [f"experiment {bad}: its summary could not be made"]
    assert len(api_server.get(f"/experiments/{good}/result")["points"]) == 2
    for path in ("result", "export", "comparison", "plots/learning_curve.json"):
        response = api_server.http.get(f"/experiments/{bad}/{path}")
        assert (response.status_code, response.json()["code"]) == (500, "unreadable"), path
        assert f"stored {name} of {table} " in response.json()["detail"]
    assert f"stored {name} of {table} " in api_server.http.get(f"/view/{bad}").text
    assert api_server.get(f"/experiments/{bad}")["status"] == "succeeded"
    assert ids_in(api_server.get(f"/experiments/{bad}/runs")) != []
    assert api_server.http.delete(f"/experiments/{bad}").status_code == 200


def test_a_damaged_run_point_or_event_is_listed_as_unreadable(api_server: ApiServer) -> None:
    bad = submit(api_server)
    damage(api_server, "run", "seeds", '["a"]', bad)
    damage(api_server, "run", "manifest", "{", bad)
    damage(api_server, "point", '"values"', "{", bad)
    with api_server.db.write() as session:
        session.execute(text("UPDATE event SET data = '{' WHERE experiment_id = :id"), {"id": bad})
    first, second = api_server.get(f"/experiments/{bad}/runs")["items"]
    assert sorted(first["unreadable"]) == ["manifest", "point", "seeds"]
    assert (first["seeds"], first["point"]["values"], second["unreadable"]) == ([], {}, [])
    events = api_server.get(f"/experiments/{bad}/events")["items"]
    assert [(one["data"], one["unreadable"]) for one in events] == [({}, ["data"])]


def test_a_damaged_experiment_is_neither_reused_nor_used_for_estimates(
    api_server: ApiServer,
) -> None:
    body = {"spec": {"kind": "train", "epochs": 2}, "seeds": [11]}
    first = api_server.submit(body)["id"]
    finish(api_server, first)
    damage(api_server, "experiment", "execution", "{", first)
    damage(api_server, "run", "result", "{", first)
    assert api_server.http.post("/experiments/preview", json=body).status_code == 200
    second = api_server.http.post("/experiments", json=body)
    assert second.status_code == 201
    assert second.json()["id"] != first


def test_a_value_that_is_not_utf8_hides_no_row(api_server: ApiServer) -> None:
    good, bad = submit(api_server), submit(api_server)
    damage(api_server, "experiment", "spec", b'{"kind": "tr\xff', bad)
    damage(api_server, "experiment", "name", b"tr\xff", bad)
    listed = {one["id"]: one for one in api_server.get("/experiments", limit=200)["items"]}
    assert listed[good]["unreadable"] == []
    assert (listed[bad]["unreadable"], listed[bad]["name"]) == (["spec"], "tr�")


def test_damaged_data_sets_weights_and_workers_hide_no_other_rows(api_server: ApiServer) -> None:
    rows = {
        "dataset": "name, title, shape, num_classes, train_size, test_size, sha256, num_bytes,"
        " created_at",
        "weights": "id, title, tensors, sha256, num_bytes, created_at",
        "worker": "id, host, pid, device, device_class, slots, memory_bytes, versions, started_at,"
        " seen_at",
    }
    values = {"shape": "[1, 2]", "tensors": "{", "versions": "3"}
    numbers = {
        "num_classes",
        "train_size",
        "test_size",
        "num_bytes",
        "pid",
        "slots",
        "memory_bytes",
    }
    times = {"created_at", "started_at", "seen_at"}
    with api_server.db.write() as session:
        for table, columns in rows.items():
            names = columns.split(", ")
            given = {
                name: values.get(name)
                or (1 if name in numbers else "2026-01-01 00:00:00" if name in times else "cpu")
                for name in names
            }
            slots = ", ".join(f":{name}" for name in names)
            session.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({slots})"), given)
    for path, column in (
        ("/datasets", "shape"),
        ("/checkpoints", "tensors"),
        ("/workers", "versions"),
    ):
        assert api_server.get(path)["items"][-1]["unreadable"] == [column]
    response = api_server.http.post(
        "/experiments", json={"spec": {"kind": "train", "data": {"name": "cpu"}}}
    )
    assert (response.status_code, response.json()["code"]) == (500, "unreadable")


def test_json_of_another_shape_is_damage_on_postgres_too(
    tmp_path: Path, postgres_server: str
) -> None:
    with (
        new_database(postgres_server) as url,
        serve_api(make_settings(tmp_path, database_url=url, reconcile_seconds=3600)) as api_server,
    ):
        good, bad = submit(api_server), submit(api_server)
        damage(api_server, "experiment", "labels", "[1]", bad)
        listed = {one["id"]: one["unreadable"] for one in api_server.get("/experiments")["items"]}
        assert listed == {good: [], bad: ["labels"]}
        assert ids_in(api_server.get("/experiments", label="of:both")) == [good]
