"""Layers of nets that only torch can describe, and the plug-ins that workers have read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "described_net",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("model", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("shape", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("num_classes", sa.Integer(), nullable=False),
        sa.Column("layers", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("described_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_described_net"),
    )
    op.create_index("ix_described_net_described_at", "described_net", ["described_at"])
    op.create_table(
        "plugin_listing",
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("listing", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_plugin_listing"),
    )


def downgrade() -> None:
    op.drop_table("plugin_listing")
    op.drop_index("ix_described_net_described_at", table_name="described_net")
    op.drop_table("described_net")
