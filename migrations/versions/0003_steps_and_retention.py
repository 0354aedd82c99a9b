"""The time of a run's step; which checkpoints an experiment keeps"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("step_seconds", sa.Float(), server_default="0", nullable=False))
    op.add_column(
        "experiment", sa.Column("keep", sa.String(length=8), server_default="all", nullable=False)
    )


def downgrade() -> None:
    # No batch: it would make the tables anew, and dropping the old one deletes what refers to it.
    op.drop_column("experiment", "keep")
    op.drop_column("run", "step_seconds")
