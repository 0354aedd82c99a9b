"""Columns, tables and outcomes take the names of the glossary

`run.owner` was the worker and is `run.worker`; `run.submitted_by` is the owner; outcomes are
`trained`, `at_chance` and `not_finite`. Resume state is dropped, as its layout names an outcome:
a run that waits to be resumed starts from its first step, with equal bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

RENAMED = (
    ("run", "owner", "worker"),
    ("run", "submitted_by", "owner"),
    ("run", "queue", "device_class"),
    ("run", "rung_at", "woken_at"),
    ("run", "lane", "claim_group"),
    ("worker", "queue", "device_class"),
    ("training", "form_digest", "spec_digest"),
)
INDEXES = (
    ("run", ("status", "lane", "rank", "id"), ("status", "claim_group", "rank", "id")),
    ("run", ("status", "submitted_by", "rank"), ("status", "owner", "rank")),
    ("run", ("status", "rung_at"), ("status", "woken_at")),
    ("run", ("submitted_by", "claimed_at"), ("owner", "claimed_at")),
    ("run", ("status", "queue", "created_at"), ("status", "device_class", "created_at")),
    ("training", ("form_digest",), ("spec_digest",)),
)
PAGE = 200


def upgrade() -> None:
    for table, old, _ in INDEXES:
        op.drop_index(_index(table, old), table)
    for table, before, after in RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}")
    for table, _, new in INDEXES:
        op.create_index(_index(table, new), table, list(new))
    _replace_counters("tally", "counter")
    _replace_deliveries("notice", "delivery")
    op.execute("DELETE FROM artifact WHERE role = 'resume'")
    _rewrite("run", "result", ("id",), _rename_seed_outcomes)
    _rewrite("training", "result", ("digest", "seed", "run_id"), _rename_outcome)
    _rewrite("experiment", "summary", ("id",), _rename_point_outcomes)
    _rewrite("event", "data", ("experiment_id", "sequence"), _rename_event_outcomes)
    op.execute(
        "UPDATE event SET name = CASE WHEN CAST(data AS TEXT) LIKE '%not finite%' "
        "THEN 'training.not_finite' ELSE 'training.at_chance' END WHERE name = 'training.diverged'"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE event SET name = 'training.diverged' "
        "WHERE name IN ('training.not_finite', 'training.at_chance')"
    )
    _rewrite("event", "data", ("experiment_id", "sequence"), _restore_event_outcomes)
    _rewrite("experiment", "summary", ("id",), _restore_point_outcomes)
    _rewrite("training", "result", ("digest", "seed", "run_id"), _restore_outcome)
    _rewrite("run", "result", ("id",), _restore_seed_outcomes)
    op.execute("DELETE FROM artifact WHERE role = 'resume'")
    _replace_deliveries("delivery", "notice")
    _replace_counters("counter", "tally")
    for table, _, new in INDEXES:
        op.drop_index(_index(table, new), table)
    for table, before, after in reversed(RENAMED):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {after} TO {before}")
    for table, old, _ in INDEXES:
        op.create_index(_index(table, old), table, list(old))


def _index(table: str, columns: tuple[str, ...]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")


def _replace_counters(old: str, new: str) -> None:
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
    """Change one JSON column where it names an outcome; a damaged value stays as it is."""
    bind = op.get_bind()
    key_list = ", ".join(keys)
    words = ("converged", "diverged", "trained", "at_chance", "not_finite")
    named = " OR ".join(f"CAST({column} AS TEXT) LIKE '%{word}%'" for word in words)
    where = " AND ".join(f"{key} = :{key}" for key in keys)
    value = ":value" if bind.dialect.name == "sqlite" else "CAST(:value AS JSON)"
    last: tuple[Any, ...] | None = None
    while True:
        after = ""
        bound: dict[str, Any] = {}
        if last is not None:
            names = [f"last_{index}" for index in range(len(keys))]
            after = f"AND ({key_list}) > ({', '.join(f':{name}' for name in names)})"
            bound = dict(zip(names, last, strict=True))
        query = (
            f"SELECT {key_list}, CAST({column} AS TEXT) FROM {table} "
            f"WHERE ({named}) {after} ORDER BY {key_list} LIMIT {PAGE}"
        )
        rows = bind.execute(sa.text(query), bound).all()
        if not rows:
            return
        for *found, text in rows:
            try:
                old = json.loads(text)
                new = change(old)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
            if new != old:
                bind.execute(
                    sa.text(f"UPDATE {table} SET {column} = {value} WHERE {where}"),
                    {
                        **dict(zip(keys, found, strict=True)),
                        "value": None if new is None else json.dumps(new),
                    },
                )
        last = tuple(rows[-1][:-1])


def _new_outcome(outcome: str, train_loss: float | None) -> str:
    if outcome != "diverged":
        return {"converged": "trained"}.get(outcome, outcome)
    return "not_finite" if train_loss is None else "at_chance"


def _rename_outcome(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "outcome": _new_outcome(result["outcome"], result.get("train_loss"))}


def _restore_outcome(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "outcome": _old_outcome(result["outcome"])}


def _old_outcome(outcome: str) -> str:
    return {"trained": "converged", "at_chance": "diverged", "not_finite": "diverged"}.get(
        outcome, outcome
    )


def _rename_seed_outcomes(results: list[dict[str, Any]] | None) -> Any:
    return results and [_rename_outcome(result) for result in results]


def _restore_seed_outcomes(results: list[dict[str, Any]] | None) -> Any:
    return results and [_restore_outcome(result) for result in results]


def _rename_point_outcomes(summary: dict[str, Any] | None) -> Any:
    """A summary does not tell why a seed did not train: the summary is dropped and made anew."""
    if summary is None or not any(
        point["outcome"] == "diverged" for point in summary.get("points", ())
    ):
        return summary and {
            **summary,
            "points": [_rename_point(point) for point in summary.get("points", ())],
        }
    return None


def _rename_point(point: dict[str, Any]) -> dict[str, Any]:
    renamed = {name: value for name, value in point.items() if name != "diverged_seeds"}
    return {
        **renamed,
        "outcome": _new_outcome(point["outcome"], 0.0),
        "untrained_seeds": point.get("diverged_seeds", []),
    }


def _restore_point_outcomes(summary: dict[str, Any] | None) -> Any:
    if summary is None:
        return None
    points = [
        {
            **{name: value for name, value in point.items() if name != "untrained_seeds"},
            "outcome": _old_outcome(point["outcome"]),
            "diverged_seeds": point.get("untrained_seeds", []),
        }
        for point in summary.get("points", ())
    ]
    return {**summary, "points": points}


def _rename_event_outcomes(data: dict[str, Any]) -> dict[str, Any]:
    """Old events name no loss: what did not train is told as at chance; the result tells which."""
    if "outcomes" not in data:
        return data
    return {**data, "outcomes": [_new_outcome(one, 0.0) for one in data["outcomes"]]}


def _restore_event_outcomes(data: dict[str, Any]) -> dict[str, Any]:
    if "outcomes" not in data:
        return data
    return {**data, "outcomes": [_old_outcome(one) for one in data["outcomes"]]}
