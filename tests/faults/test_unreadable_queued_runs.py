"""A queued run whose stored values cannot be read fails, and other runs are executed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from storage.database.engine import Database
from tests.faults.in_process_worker import SPEC, InProcessWorker


def status_of(worker: InProcessWorker, run_id: str) -> tuple[str, str | None]:
    with worker.db.read() as session:
        query = text("SELECT status, error_code FROM run WHERE id = :id")
        status, code = session.execute(query, {"id": run_id}).one()
        return status, code


def execute_sql(db: Database, statement: str, **values: Any) -> None:
    with db.write() as session:
        session.execute(text(statement), values)


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("run", "seeds", "3", "internal"),
        ("run", "seeds", "[0,", "internal"),
        ("point", "spec", "{", "internal"),
        ("point", '"values"', "[", "internal"),
        ("point", "spec", '{"kind": "gone"}', "invalid_spec"),
        ("point", "spec", '{"kind": "train", "epochs": -1}', "invalid_spec"),
    ],
)
def test_a_run_with_an_unreadable_value_fails_and_others_succeed(
    worker: InProcessWorker, table: str, column: str, value: str, reason: str
) -> None:
    bad_experiment, bad = worker.submit(SPEC)
    good = [worker.submit(SPEC)[1] for _ in range(2)]
    key = "id" if table == "run" else "experiment_id"
    execute_sql(
        worker.db,
        f"UPDATE {table} SET {column} = :value WHERE {key} = :key",
        value=value,
        key=bad if table == "run" else bad_experiment,
    )
    worker.work_until_idle()
    assert status_of(worker, bad) == ("failed", reason)
    assert [status_of(worker, run_id)[0] for run_id in good] == ["succeeded"] * 2
