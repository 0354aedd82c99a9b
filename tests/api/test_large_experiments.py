"""Imports and deletions of many metrics, in slices between which others write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import Session, select

from api.experiments import changes, import_bundle
from storage.database.engine import Database, DatabaseUnavailable
from storage.database.tables import ExperimentRow, MetricRow, RunRow
from storage.experiments import hidden
from storage.results.metrics import store_metrics
from tests.api.api_server import ApiServer
from tests.api.zip_files import pack_zip, unpack_zip

SLICE = 100
METRICS = 950
STORE = "storage.experiments.hidden.store_metrics"
BODY = {"spec": {"kind": "train", "epochs": 1}, "seeds": [0], "reuse": False}


@pytest.fixture
def api(api_on_both_databases: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """A service with small slices."""
    monkeypatch.setattr(hidden, "SLICE", SLICE)
    return api_on_both_databases


@pytest.fixture
def archive(api: ApiServer) -> bytes:
    """An export with many metrics. The exported experiment is deleted."""
    experiment_id = api.submit(BODY)["id"]
    api.finish_all_runs(experiment_id)
    entries = unpack_zip(api.http.get(f"/experiments/{experiment_id}/export").content)
    lines = ["point,seed,name,step,value", *(f"0,0,loss,{step},0.5" for step in range(METRICS))]
    api.http.delete(f"/experiments/{experiment_id}").raise_for_status()
    return pack_zip({**entries, "metrics.csv": ("\n".join(lines) + "\n").encode()})


def count(api: ApiServer, table: Any) -> int:
    with api.db.read() as session:
        return int(session.exec(select(func.count()).select_from(table)).one())


def nothing_is_stored(api: ApiServer) -> bool:
    return [count(api, table) for table in (ExperimentRow, RunRow, MetricRow)] == [0, 0, 0]


@pytest.fixture
def slices(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(metrics, experiments that a request finds meanwhile) of each transaction with metrics."""
    found: list[tuple[int, int]] = []
    store, delete = store_metrics, hidden._delete_slice

    def visible() -> int:
        return len(api.get("/experiments")["items"])

    def record_stored(session: Session, rows: Sequence[Any]) -> None:
        found.append((len(rows), visible()))
        store(session, rows)

    def record_deleted(db: Database, run_id: str) -> int:
        found.append((delete(db, run_id), visible()))
        return found[-1][0]

    monkeypatch.setattr(STORE, record_stored)
    monkeypatch.setattr(hidden, "_delete_slice", record_deleted)
    return found


EXPECTED = [(SLICE, 0)] * 9 + [(50, 0)]


def test_an_import_is_written_in_slices_and_seen_when_it_is_complete(
    api: ApiServer, archive: bytes, slices: list[tuple[int, int]]
) -> None:
    response = api.http.post("/import", content=archive)
    assert response.status_code == 201, response.text
    assert slices == EXPECTED
    assert count(api, MetricRow) == METRICS
    assert [one["id"] for one in api.get("/experiments")["items"]] == [response.json()["id"]]


def test_a_deletion_in_slices_is_complete_when_it_returns(
    api: ApiServer, archive: bytes, slices: list[tuple[int, int]]
) -> None:
    experiment_id = api.http.post("/import", content=archive).json()["id"]
    slices.clear()
    assert api.http.delete(f"/experiments/{experiment_id}").json()["deleted"]
    assert slices == EXPECTED
    assert nothing_is_stored(api)


def test_nothing_is_left_of_an_import_that_fails_on_the_way(
    api: ApiServer, archive: bytes, slices: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail_late(session: Session, rows: Sequence[Any]) -> None:
        if len(slices) == 5:
            raise DatabaseUnavailable("by the test")
        slices.append((len(rows), 0))
        store_metrics(session, rows)

    monkeypatch.setattr(STORE, fail_late)
    assert api.http.post("/import", content=archive).status_code == 503
    assert nothing_is_stored(api)


@pytest.mark.parametrize("interrupted", ["import", "deletion"])
def test_the_reconciler_deletes_what_a_killed_process_left(
    api: ApiServer, archive: bytes, interrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(changes, "remove_hidden", lambda *_: None)
        killed.setattr(import_bundle, "remove_hidden", lambda *_: None)
        if interrupted == "import":
            killed.setattr(import_bundle, "show_imported", _be_killed)
            assert api.http.post("/import", content=archive).status_code == 500
        else:
            experiment_id = api.http.post("/import", content=archive).json()["id"]
            api.http.delete(f"/experiments/{experiment_id}").raise_for_status()
            assert api.http.get(f"/experiments/{experiment_id}").status_code == 404
    assert api.get("/experiments")["items"] == []
    assert count(api, MetricRow) == METRICS
    api.reconcile()
    assert count(api, MetricRow) == METRICS, "it may still be under way"
    monkeypatch.setattr(hidden, "ABANDONED_SECONDS", -1.0)
    api.reconcile()
    assert nothing_is_stored(api)


def _be_killed(*_: Any) -> None:
    raise RuntimeError("stands for a kill")
