"""An experiment remembers the content of the data sets that were deleted after it used them

Null: none was. A data set of the same name that is registered later is another one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("deleted_data", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("experiment", "deleted_data")
