"""A submission may claim what its experiment will find"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("claims", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("experiment", "claims")
