"""An experiment may add seeds until the verdicts on its claims are decided

Null: its seeds are a list.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("seed_plan", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("experiment", "seed_plan")
