"""What a submission must know of uploaded files: class counts, types of tensors

Null in rows of before: the file is read when a submission first needs them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset", sa.Column("class_counts", sa.JSON(), nullable=True))
    op.add_column("weights", sa.Column("dtypes", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("weights", "dtypes")
    op.drop_column("dataset", "class_counts")
