"""Data sets of features and of float32, names of classes and features, versions

Data sets of before hold uint8 images and are their first version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dataset", sa.Column("dtype", sa.String(16), nullable=False, server_default="uint8")
    )
    op.add_column("dataset", sa.Column("class_names", sa.JSON(), nullable=True))
    op.add_column("dataset", sa.Column("feature_names", sa.JSON(), nullable=True))
    op.add_column("dataset", sa.Column("notes", sa.JSON(), nullable=True))
    op.add_column("dataset", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    for column in ("version", "notes", "feature_names", "class_names", "dtype"):
        op.drop_column("dataset", column)
