"""Trainings have a digest without seed and data, which is known before the data are read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("training", schema=None) as batch_op:
        batch_op.add_column(sa.Column("form_digest", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_training_form_digest"), ["form_digest"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("training", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_training_form_digest"))
        batch_op.drop_column("form_digest")
