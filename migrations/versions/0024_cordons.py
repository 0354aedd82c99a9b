"""Workers that finish what they run and claim no more"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cordon",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("hand_back", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cordon"),
    )


def downgrade() -> None:
    op.drop_table("cordon")
