"""Points that train the same net: one run trains it, with the checkpoints that any of them needs

`run.training`: null where no other point of the experiment trains the same net.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("point", sa.Column("shared_checkpoints", sa.JSON(), nullable=True))
    op.add_column("run", sa.Column("training", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("run", "training")
    op.drop_column("point", "shared_checkpoints")
