"""Each seed of a point has one run; experiments can be hidden

Before, two concurrent extensions on Postgres could add the same seeds twice. In finished
experiments a run whose seeds all belong to other runs of its point is deleted here, and the summary
is made anew; runs with a result are kept first, then the oldest. In experiments under way such runs
stay, and results count each seed once.

Also: runs of imported experiments get their experiment's owner, and `experiment.hidden_at` hides an
experiment while its rows are written or deleted in slices.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

PAGE = 1_000


def upgrade() -> None:
    op.create_table(
        "point_seed",
        sa.Column("point_id", sa.String(length=40), nullable=False),
        sa.Column("seed", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["point_id"],
            ["point.id"],
            name=op.f("fk_point_seed_point_id_point"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("point_id", "seed", name=op.f("pk_point_seed")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "UPDATE run SET owner = (SELECT owner FROM experiment WHERE id = experiment_id) "
        "WHERE owner <> (SELECT owner FROM experiment WHERE id = experiment_id)"
    )
    op.add_column("experiment", sa.Column("hidden_at", sa.DateTime(timezone=True)))
    op.create_index(op.f("ix_experiment_hidden_at"), "experiment", ["hidden_at"])
    last = ""
    while points := _page(last):
        for point_id, runs in _runs_of(points).items():
            _claim_seeds(point_id, runs)
        last = points[-1]


def downgrade() -> None:
    op.execute("DELETE FROM experiment WHERE hidden_at IS NOT NULL")
    op.drop_index(op.f("ix_experiment_hidden_at"), "experiment")
    op.drop_column("experiment", "hidden_at")
    op.drop_table("point_seed")


def _page(after: str) -> list[str]:
    """The next ids of points, in order."""
    query = sa.text("SELECT id FROM point WHERE id > :after ORDER BY id LIMIT :page")
    return list(op.get_bind().execute(query, {"after": after, "page": PAGE}).scalars())


def _runs_of(point_ids: list[str]) -> dict[str, list[tuple[str, list[int]]]]:
    """(run id, seeds) by point, those to keep first. Damaged rows are left as they are."""
    query = sa.text(
        "SELECT point_id, id, seeds FROM run WHERE point_id BETWEEN :first AND :last "
        "ORDER BY CASE WHEN status = 'succeeded' THEN 0 ELSE 1 END, id"
    )
    found: dict[str, list[tuple[str, list[int]]]] = {}
    rows = op.get_bind().execute(query, {"first": point_ids[0], "last": point_ids[-1]})
    for point_id, run_id, stored in rows:
        seeds = _parse(stored)
        if seeds is not None:
            found.setdefault(point_id, []).append((run_id, seeds))
    return found


def _parse(stored: Any) -> list[int] | None:
    try:
        seeds = json.loads(stored) if isinstance(stored, str) else stored
    except ValueError:
        return None
    valid = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    return seeds if valid else None


def _claim_seeds(point_id: str, runs: list[tuple[str, list[int]]]) -> None:
    connection, taken = op.get_bind(), set[int]()
    for run_id, seeds in runs:
        if seeds and taken.issuperset(seeds):
            _delete_doubled(run_id)
        taken.update(seeds)
    if taken:
        connection.execute(
            sa.text("INSERT INTO point_seed (point_id, seed) VALUES (:point_id, :seed)"),
            [{"point_id": point_id, "seed": seed} for seed in sorted(taken)],
        )


def _delete_doubled(run_id: str) -> None:
    drop_summary = (
        "UPDATE experiment SET summary = NULL WHERE finished_at IS NOT NULL "
        "AND id = (SELECT experiment_id FROM run WHERE run.id = :id)"
    )
    if op.get_bind().execute(sa.text(drop_summary), {"id": run_id}).rowcount:
        op.get_bind().execute(sa.text("DELETE FROM run WHERE id = :id"), {"id": run_id})
