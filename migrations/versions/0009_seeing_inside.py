"""Counters, workers' clocks, traces of runs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("bucket", sa.String(length=16), server_default="", nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", "bucket", name=op.f("pk_tally")),
    )
    op.add_column("worker", sa.Column("clock_ahead_seconds", sa.Float(), nullable=True))
    op.add_column("run", sa.Column("trace_parent", sa.String(length=55), nullable=True))


def downgrade() -> None:
    op.drop_column("run", "trace_parent")
    op.drop_column("worker", "clock_ahead_seconds")
    op.drop_table("tally")
