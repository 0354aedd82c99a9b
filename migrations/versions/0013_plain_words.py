"""Columns, tables and outcomes take the names of the glossary

`run.owner` was the worker and becomes `run.worker`; `run.submitted_by` becomes `run.owner`. The
outcomes become `trained`, `at_chance` and `not_finite`. Resume state is deleted, as its layout
names an outcome: a run with resume state starts again at its first step, with equal bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = (
    ("run", "owner", "worker"),
    ("run", "submitted_by", "owner"),
    ("run", "queue", "device_class"),
    ("run", "rung_at", "woken_at"),
    ("run", "lane", "claim_group"),
    ("worker", "queue", "device_class"),
    ("training", "form_digest", "spec_digest"),
)
"""(table, name before, name after); reversed for the downgrade"""
INDEXES = (
    ("run", ("status", "lane", "rank", "id"), ("status", "claim_group", "rank", "id")),
    ("run", ("status", "submitted_by", "rank"), ("status", "owner", "rank")),
    ("run", ("status", "rung_at"), ("status", "woken_at")),
    ("run", ("submitted_by", "claimed_at"), ("owner", "claimed_at")),
    ("run", ("status", "queue", "created_at"), ("status", "device_class", "created_at")),
    ("training", ("form_digest",), ("spec_digest",)),
)
"""(table, columns before, columns after)"""
NOT_FINITE, AT_CHANCE = "loss not finite", "accuracy at chance"
"""The reasons in the data of the event `training.diverged`"""
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""Errors of a stored JSON value that does not have the expected shape; it stays as it is"""
EVENT_KEY = ("experiment_id", "sequence")
PAGE = 200


def upgrade() -> None:
    for table, before, _ in INDEXES:
        op.drop_index(_index(table, before), table)
    for table, before, after in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}")
    for table, _, after in INDEXES:
        op.create_index(_index(table, after), table, list(after))
    _replace_counters("tally", "counter")
    _replace_deliveries("notice", "delivery")
    op.execute("DELETE FROM artifact WHERE role = 'resume'")
    _rewrite("run", "result", ("id",), _rename_seeds)
    _rewrite("training", "result", ("digest", "seed", "run_id"), _rename_seed)
    _rewrite("experiment", "summary", ("id",), _rename_summary)
    _rename_events()


def downgrade() -> None:
    _restore_events()
    _rewrite("experiment", "summary", ("id",), _restore_summary)
    _rewrite("training", "result", ("digest", "seed", "run_id"), _restore_seed)
    _rewrite("run", "result", ("id",), _restore_seeds)
    op.execute("DELETE FROM artifact WHERE role = 'resume'")
    _replace_deliveries("delivery", "notice")
    _replace_counters("counter", "tally")
    for table, _, after in INDEXES:
        op.drop_index(_index(table, after), table)
    for table, before, after in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {after} TO {before}")
    for table, before, _ in INDEXES:
        op.create_index(_index(table, before), table, list(before))


def _index(table: str, columns: tuple[str, ...]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")


def _replace_counters(old: str, new: str) -> None:
    """A new table with the rows of the old one, as SQLite renames no constraint."""
    op.create_table(
        new,
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("bucket", sa.String(length=16), server_default="", nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", "bucket", name=op.f(f"pk_{new}")),
    )
    op.execute(f"INSERT INTO {new} SELECT name, label, bucket, value FROM {old}")
    op.drop_table(old)


def _replace_deliveries(old: str, new: str) -> None:
    states = ("pending", "delivered", "failed")
    op.create_table(
        new,
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("webhook_id", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(*states, name=f"{new}state", native_enum=False, length=32),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name=op.f(f"fk_{new}_webhook_id_webhook"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{new}")),
    )
    columns = "id, webhook_id, body, state, attempts, due_at, created_at"
    op.execute(f"INSERT INTO {new} ({columns}) SELECT {columns} FROM {old}")
    op.drop_table(old)
    op.create_index(op.f(f"ix_{new}_webhook_id"), new, ["webhook_id"])
    op.create_index(op.f(f"ix_{new}_state_due_at"), new, ["state", "due_at"])


def _rewrite(table: str, column: str, keys: tuple[str, ...], change: Callable[[Any], Any]) -> None:
    """Change one JSON column in every row whose value `change` can read."""
    source = f"SELECT {', '.join(keys)}, CAST({column} AS TEXT) FROM {table}"
    for *key, text in _read(source, f"{column} IS NOT NULL", keys):
        try:
            old = json.loads(text)
            new = change(old)
        except DAMAGED:
            continue
        if new != old:
            _store(table, dict(zip(keys, key, strict=True)), {column: new})


def _read(source: str, condition: str, keys: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query in the order of `keys`, its first columns, one page in memory."""
    columns = ", ".join(keys)
    names = [f"last_{index}" for index in range(len(keys))]
    after, values = "", dict[str, Any]()
    while True:
        query = f"{source} WHERE {condition} {after} ORDER BY {columns} LIMIT {PAGE}"
        rows = op.get_bind().execute(sa.text(query), values).all()
        yield from map(tuple, rows)
        if len(rows) < PAGE:
            return
        after = f"AND ({columns}) > ({', '.join(f':{name}' for name in names)})"
        values = dict(zip(names, rows[-1], strict=False))


def _store(table: str, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Update one row. A dict or list is stored as JSON."""
    bind = op.get_bind()
    is_sqlite = bind.dialect.name == "sqlite"
    assignments, bound = [], dict(key)
    for name, value in values.items():
        is_json = isinstance(value, dict | list)
        cast = f"CAST(:new_{name} AS JSON)" if is_json and not is_sqlite else f":new_{name}"
        assignments.append(f"{name} = {cast}")
        bound[f"new_{name}"] = json.dumps(value, separators=(",", ":")) if is_json else value
    where = " AND ".join(f"{name} = :{name}" for name in key)
    bind.execute(sa.text(f"UPDATE {table} SET {', '.join(assignments)} WHERE {where}"), bound)


def _new_outcome(outcome: str, is_finite: bool) -> str:
    diverged = "at_chance" if is_finite else "not_finite"
    return {"converged": "trained", "diverged": diverged}.get(outcome, outcome)


def _old_outcome(outcome: str) -> str:
    old = {"trained": "converged", "at_chance": "diverged", "not_finite": "diverged"}
    return old.get(outcome, outcome)


def _rename_seed(result: dict[str, Any]) -> dict[str, Any]:
    """The train loss of a result is null where it was not finite."""
    is_finite = result.get("train_loss") is not None
    return {**result, "outcome": _new_outcome(result["outcome"], is_finite)}


def _restore_seed(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "outcome": _old_outcome(result["outcome"])}


def _rename_seeds(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_rename_seed(result) for result in results]


def _restore_seeds(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_restore_seed(result) for result in results]


def _rename_summary(summary: dict[str, Any]) -> dict[str, Any] | None:
    """None where a seed did not train: the summary does not say why.

    The reconciler makes it again from the results.
    """
    if any(point["outcome"] == "diverged" for point in summary["points"]):
        return None
    points = [
        {
            "untrained_seeds" if name == "diverged_seeds" else name: value
            for name, value in {**point, "outcome": _new_outcome(point["outcome"], True)}.items()
        }
        for point in summary["points"]
    ]
    return {**summary, "points": points}


def _restore_summary(summary: dict[str, Any]) -> dict[str, Any]:
    points = [
        {
            "diverged_seeds" if name == "untrained_seeds" else name: value
            for name, value in {**point, "outcome": _old_outcome(point["outcome"])}.items()
        }
        for point in summary["points"]
    ]
    return {**summary, "points": points}


def _rename_events() -> None:
    """The outcomes of a run's end come from its result, which `upgrade` has renamed before."""
    source = (
        "SELECT experiment_id, sequence, name, CAST(data AS TEXT), "
        "(SELECT CAST(result AS TEXT) FROM run WHERE run.id = event.run_id) FROM event"
    )
    condition = "name IN ('run.succeeded', 'training.diverged')"
    for experiment_id, sequence, name, data, results in _read(source, condition, EVENT_KEY):
        key = {"experiment_id": experiment_id, "sequence": sequence}
        if name == "training.diverged":
            reason = _read_reason(data)
            outcome = "not_finite" if reason == NOT_FINITE else "at_chance"
            _store("event", key, {"name": f"training.{outcome}"})
            continue
        try:
            old = json.loads(data)
            outcomes = _new_outcomes(old["outcomes"], results)
        except DAMAGED:
            continue
        _store("event", key, {"data": {**old, "outcomes": outcomes}})


def _read_reason(data: str) -> str | None:
    try:
        reason: str | None = json.loads(data)["reason"]
    except DAMAGED:
        return None
    return reason


def _new_outcomes(old: list[str], results: str | None) -> list[str]:
    """At chance where the run's result is unreadable and the event alone does not say why."""
    try:
        found = [str(result["outcome"]) for result in json.loads(results or "[]")]
    except DAMAGED:
        found = []
    if len(found) == len(old):
        return found
    return [_new_outcome(outcome, True) for outcome in old]


def _restore_events() -> None:
    source = "SELECT experiment_id, sequence, name, CAST(data AS TEXT) FROM event"
    reasons = {"training.not_finite": NOT_FINITE, "training.at_chance": AT_CHANCE}
    condition = "name IN ('run.succeeded', 'training.not_finite', 'training.at_chance')"
    for experiment_id, sequence, name, data in _read(source, condition, EVENT_KEY):
        values: dict[str, Any] = {} if name == "run.succeeded" else {"name": "training.diverged"}
        try:
            new = json.loads(data)
            if name == "run.succeeded":
                outcomes = [_old_outcome(outcome) for outcome in new["outcomes"]]
                values["data"] = {**new, "outcomes": outcomes}
            else:
                values["data"] = {**new, "reason": reasons[name]}
        except DAMAGED:
            pass
        if values:
            _store("event", {"experiment_id": experiment_id, "sequence": sequence}, values)
