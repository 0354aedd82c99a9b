"""What the body of a delivery is like"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "webhook",
        sa.Column("format", sa.String(32), nullable=False, server_default="standard"),
    )


def downgrade() -> None:
    op.drop_column("webhook", "format")
