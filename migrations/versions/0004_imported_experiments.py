"""Experiments imported from another service"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("imported_from", sa.String(length=40), nullable=True))
    op.add_column("experiment", sa.Column("imported_sha256", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_experiment_imported_sha256"), "experiment", ["imported_sha256"])


def downgrade() -> None:
    # No batch: it would make the table anew, and dropping the old one deletes what refers to it.
    op.drop_index(op.f("ix_experiment_imported_sha256"), "experiment")
    op.drop_column("experiment", "imported_sha256")
    op.drop_column("experiment", "imported_from")
