"""Owners of experiments, data sets, uploaded checkpoints and idempotency keys"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEYED = {"dataset": "name", "weights": "id", "idempotency": "key"}
"""The column of each table that becomes unique within an owner"""


def upgrade() -> None:
    op.add_column("experiment", _owner())
    op.create_index(op.f("ix_experiment_owner"), "experiment", ["owner"])
    for table, key in KEYED.items():
        op.add_column(table, _owner())
        _set_key(table, ["owner", key])


def downgrade() -> None:
    """Of rows of several owners with the same name or key, the first owner's is kept."""
    for table, key in KEYED.items():
        others = f"SELECT MIN(other.owner) FROM {table} AS other WHERE other.{key} = {table}.{key}"
        op.execute(f"DELETE FROM {table} WHERE owner > ({others})")
        _set_key(table, [key])
        op.drop_column(table, "owner")
    op.drop_index(op.f("ix_experiment_owner"), "experiment")
    op.drop_column("experiment", "owner")


def _owner() -> sa.Column[str]:
    return sa.Column("owner", sa.String(length=64), server_default="", nullable=False)


def _set_key(table: str, columns: list[str]) -> None:
    name = op.f(f"pk_{table}")
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(name, type_="primary")
        batch.create_primary_key(name, columns)
