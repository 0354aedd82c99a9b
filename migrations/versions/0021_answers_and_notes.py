"""The numbers of each result by which lists sort, and notes of experiments

`experiment.answers_version`: 0 where the numbers are not stored yet; the reconciler stores them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("notes", sa.Text(), nullable=True))
    op.add_column(
        "experiment",
        sa.Column("answers_version", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("ix_experiment_answers_version", "experiment", ["answers_version"])
    op.create_table(
        "answer",
        sa.Column("experiment_id", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("better", sa.String(8), nullable=True),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("standard_error", sa.Float(), nullable=True),
        sa.Column("num_seeds", sa.Integer(), nullable=False),
        sa.Column("num_points", sa.Integer(), nullable=False),
        sa.Column("point", sa.JSON(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("experiment_id", "name", name="pk_answer"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiment.id"],
            name="fk_answer_experiment_id_experiment",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_answer_name_mean", "answer", ["name", "mean"])


def downgrade() -> None:
    op.drop_table("answer")
    op.drop_index("ix_experiment_answers_version", table_name="experiment")
    op.drop_column("experiment", "answers_version")
    op.drop_column("experiment", "notes")
