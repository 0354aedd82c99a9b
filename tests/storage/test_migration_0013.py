"""Migration 0013 renames columns, tables and outcomes, and changes nothing else."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from schemas.webhooks import DeliveryState
from storage.database.engine import Database, Session, as_utc
from storage.database.tables import (
    ArtifactRow,
    CounterRow,
    DeliveryRow,
    ExperimentRow,
    RunRow,
    TrainingRow,
    WorkerRow,
)
from storage.errors import UnreadableRow
from storage.experiments.finalize import experiments_without_summary
from storage.results.events import list_events

NOW, LATER = "2026-01-02 03:04:05", "2026-02-03 04:05:06"
DAMAGED = '{"outcomes": ["converged'
"""SQLite stores any text in a JSON column; Postgres does not."""


def seed_result(seed: int, outcome: str, train_loss: float | None) -> dict[str, Any]:
    return {"seed": seed, "outcome": outcome, "train_loss": train_loss, "notes": ["é", "5 %:x"]}


def summary_of(outcome: str, name: str, seeds: list[int]) -> dict[str, Any]:
    point = {"point": {"epochs": 1}, "outcome": outcome, name: seeds, "seeds": [0, 1, 2]}
    return {"kind": "train", "points": [point]}


OLD_RESULTS = [
    seed_result(0, "converged", 0.25),
    seed_result(1, "diverged", 2.5),
    seed_result(2, "diverged", None),
]
NEW_RESULTS = [
    seed_result(0, "trained", 0.25),
    seed_result(1, "at_chance", 2.5),
    seed_result(2, "not_finite", None),
]
OLD_OUTCOMES = [result["outcome"] for result in OLD_RESULTS]
OLD_SUMMARY = summary_of("converged", "diverged_seeds", [])
NEW_SUMMARY = summary_of("trained", "untrained_seeds", [])
OLD_EVENTS: list[tuple[str, str | None, Any]] = [
    ("training.diverged", "run_1", {"seed": 1, "epoch": 3, "reason": "accuracy at chance"}),
    ("training.diverged", "run_1", {"seed": 2, "epoch": 1, "reason": "loss not finite"}),
    ("run.succeeded", "run_1", {"outcomes": OLD_OUTCOMES}),
    ("run.succeeded", "run_gone", {"outcomes": ["converged", "diverged"]}),
    ("training.note", None, {"text": "it converged"}),
]
NEW_EVENTS = [
    ("training.at_chance", OLD_EVENTS[0][2]),
    ("training.not_finite", OLD_EVENTS[1][2]),
    ("run.succeeded", {"outcomes": ["trained", "at_chance", "not_finite"]}),
    ("run.succeeded", {"outcomes": ["trained", "at_chance"]}),
    ("training.note", {"text": "it converged"}),
]


def insert(session: Session, table: str, **values: Any) -> None:
    stored = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }
    columns = ", ".join(f'"{name}"' for name in stored)
    marks = ", ".join(f":{name}" for name in stored)
    session.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"), stored)


def insert_experiment(session: Session, number: int, summary: Any) -> None:
    experiment, point = f"exp_{number}", f"pt_{number}"
    times = {"created_at": NOW, "finished_at": LATER}
    about = {"kind": "train", "digest": "d" * 64, "owner": "ada", "status": "succeeded"}
    insert(session, "experiment", id=experiment, summary=summary, **about, **times)
    insert(session, "point", id=point, experiment_id=experiment, index=0, digest="d" * 64)


def insert_run(session: Session, number: int, result: Any, **values: Any) -> None:
    ids = {"id": f"run_{number}", "experiment_id": f"exp_{number}", "point_id": f"pt_{number}"}
    owner = {"owner": "host:1:2", "submitted_by": "ada", "queue": "gpu", "lane": "gpu:0::ada"}
    insert(session, "run", **ids, **owner, result=result, created_at=NOW, **values)


def fill_old_schema(session: Session) -> None:
    """Rows of every table and column that the migration changes."""
    insert_experiment(session, 1, summary_of("diverged", "diverged_seeds", [1, 2]))
    insert_experiment(session, 2, OLD_SUMMARY)
    insert_run(session, 1, OLD_RESULTS, status="succeeded", rung_at=LATER, rank=7.5)
    insert_run(session, 2, None, status="queued")
    for digest, result in (("a" * 64, OLD_RESULTS[0]), ("b" * 64, OLD_RESULTS[2])):
        keys = {"digest": digest, "seed": 0, "run_id": "run_1", "form_digest": "f" * 64}
        insert(session, "training", **keys, result=result, created_at=NOW)
    for role in ("resume", "checkpoint"):
        file = {"name": "f", "media_type": "x", "sha256": "0" * 64, "num_bytes": 1}
        ids = {"id": f"art_{role}", "run_id": "run_2", "fence": 1}
        insert(session, "artifact", **ids, role=role, **file, created_at=NOW)
    for sequence, (name, run_id, data) in enumerate(OLD_EVENTS, 1):
        keys = {"experiment_id": "exp_1", "sequence": sequence, "run_id": run_id}
        insert(session, "event", **keys, name=name, data=data, at=NOW)
    insert(session, "webhook", id="whk_1", experiment_id="exp_1", url="https://x", created_at=NOW)
    times = {"due_at": LATER, "created_at": NOW}
    body = '{"text": "it converged"}'
    state = {"state": "failed", "attempts": 6}
    insert(session, "notice", id="msg_1", webhook_id="whk_1", body=body, **state, **times)
    insert(session, "tally", name="claim", label="gpu", bucket="0.1", value=2.5)
    seen = {"started_at": NOW, "seen_at": LATER}
    about = {"host": "h", "pid": 1, "device": "cuda", "slots": 1, "memory_bytes": 5}
    insert(session, "worker", id="wrk_1", queue="gpu", **about, **seen)


def dump(session: Session) -> dict[str, list[Any]]:
    """Every row of every table, with JSON values parsed."""
    found: dict[str, list[Any]] = {}
    connection = session.connection()
    for table in sa.inspect(connection).get_table_names():
        rows = connection.execute(sa.text(f'SELECT * FROM "{table}"')).mappings()
        parsed = [{name: parse(value) for name, value in row.items()} for row in rows]
        found[table] = sorted(parsed, key=str)
    return found


def parse(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
    except ValueError:
        return value


@pytest.fixture
def old_database(fresh_database: Database) -> Database:
    """A filled database at revision 0012."""
    fresh_database.upgrade()
    fresh_database.downgrade("0012")
    with fresh_database.write() as session:
        fill_old_schema(session)
    return fresh_database


def test_renamed_columns_keep_their_values(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        run = session.get_one(RunRow, "run_1")
        worker = session.get_one(WorkerRow, "wrk_1")
        trainings = session.scalars(select(TrainingRow).order_by(TrainingRow.digest)).all()
    assert (run.worker, run.owner, run.device_class) == ("host:1:2", "ada", "gpu")
    assert (run.claim_group, run.rank) == ("gpu:0::ada", 7.5)
    woken_at = as_utc(run.woken_at)
    assert woken_at is not None
    assert woken_at.isoformat().startswith(LATER.replace(" ", "T"))
    assert (worker.device_class, worker.slots, worker.memory_bytes) == ("gpu", 1, 5)
    assert [training.spec_digest for training in trainings] == ["f" * 64] * 2


def test_renamed_tables_keep_their_rows(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        delivery = session.get_one(DeliveryRow, "msg_1")
        counter = session.get_one(CounterRow, ("claim", "gpu", "0.1"))
    assert (delivery.webhook_id, delivery.body) == ("whk_1", '{"text": "it converged"}')
    assert (delivery.state, delivery.attempts) == (DeliveryState.FAILED, 6)
    assert counter.value == 2.5


def test_outcomes_tell_chance_from_not_finite_by_the_train_loss(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        run = session.get_one(RunRow, "run_1")
        assert session.get_one(RunRow, "run_2").result is None
        trainings = session.scalars(select(TrainingRow).order_by(TrainingRow.digest)).all()
    assert run.result == NEW_RESULTS
    assert [training.result for training in trainings] == [NEW_RESULTS[0], NEW_RESULTS[2]]


def test_a_summary_with_an_untrained_seed_is_made_again(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        assert session.get_one(ExperimentRow, "exp_1").summary is None
        summary = session.get_one(ExperimentRow, "exp_2").summary
        assert experiments_without_summary(session) == ["exp_1"]
    assert summary == NEW_SUMMARY
    assert summary is not None
    assert list(summary["points"][0]) == list(NEW_SUMMARY["points"][0])


def test_events_take_the_outcomes_of_their_run(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        events = list_events(session, "exp_1", 0, 100)
    assert [(event.name, event.data) for event in events] == NEW_EVENTS


def test_resume_state_is_deleted_and_other_files_are_kept(old_database: Database) -> None:
    old_database.upgrade()
    with old_database.read() as session:
        assert list(session.scalars(select(ArtifactRow.id))) == ["art_checkpoint"]


def test_down_restores_everything_but_summaries_and_resume_state(old_database: Database) -> None:
    with old_database.read() as session:
        before = dump(session)
    old_database.upgrade()
    with old_database.read() as session:
        after = dump(session)
    old_database.downgrade("0012")
    with old_database.read() as session:
        restored = dump(session)
    assert {"notice", "tally"} <= restored.keys()
    before["artifact"] = [row for row in before["artifact"] if row["role"] != "resume"]
    for row in before["experiment"]:
        row["summary"] = None if row["id"] == "exp_1" else row["summary"]
    assert restored == {name: sorted(rows, key=str) for name, rows in before.items()}
    old_database.upgrade()
    with old_database.read() as session:
        assert dump(session) == after


def test_more_rows_than_a_page_are_all_renamed(old_database: Database) -> None:
    with old_database.write() as session:
        for number in range(3, 503):
            insert_experiment(session, number, OLD_SUMMARY)
            insert_run(session, number, [OLD_RESULTS[0]], status="succeeded")
    old_database.upgrade()
    with old_database.read() as session:
        new = [row.result for row in session.scalars(select(RunRow)) if row.result]
        summaries = [row.summary for row in session.scalars(select(ExperimentRow)) if row.summary]
    assert new.count([NEW_RESULTS[0]]) == 500
    assert summaries == [NEW_SUMMARY] * 501


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
def test_a_damaged_value_stays_as_it_is(old_database: Database) -> None:
    deep = '{"outcome": ' + "[" * 100_000
    with old_database.write() as session:
        for table, column, key in (
            ("run", "result", "id = 'run_1'"),
            ("experiment", "summary", "id = 'exp_2'"),
            ("training", "result", f"digest = '{'a' * 64}'"),
            ("event", "data", "sequence IN (1, 3)"),
        ):
            statement = f"UPDATE {table} SET {column} = :value WHERE {key}"
            session.execute(sa.text(statement), {"value": DAMAGED})
        session.execute(
            sa.text("UPDATE event SET data = :value WHERE sequence = 2"), {"value": deep}
        )
    for migrate in (old_database.upgrade, partial(old_database.downgrade, "0012")):
        migrate()
        with old_database.read() as session:
            values = [
                *session.scalars(sa.text("SELECT result FROM run WHERE id = 'run_1'")),
                *session.scalars(sa.text("SELECT summary FROM experiment WHERE id = 'exp_2'")),
                *session.scalars(sa.text("SELECT result FROM training ORDER BY digest LIMIT 1")),
                *session.scalars(sa.text("SELECT data FROM event WHERE sequence IN (1, 3)")),
            ]
        assert values == [DAMAGED] * 5
    old_database.upgrade()
    with old_database.read() as session:
        with pytest.raises(UnreadableRow):
            _ = session.get_one(RunRow, "run_1").result
        outcomes = [event.data for event in list_events(session, "exp_1", 3, 1)]
    assert outcomes == [{"outcomes": ["trained", "at_chance"]}]
