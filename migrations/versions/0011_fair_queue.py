"""A claim order by owners; the needs of a run and the capacity of a worker"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEXES = (
    ("status", "lane", "rank", "id"),
    ("status", "submitted_by", "rank"),
    ("status", "rung_at"),
    ("submitted_by", "claimed_at"),
    ("experiment_id", "status", "rank"),
    ("status", "queue", "created_at"),
)
REPLACED = (("status", "queue", "priority", "created_at"), ("experiment_id",))


def upgrade() -> None:
    op.add_column("run", _text("submitted_by", sa.String(length=64)))
    op.add_column(
        "run", sa.Column("memory_bytes", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("run", _text("requires"))
    op.add_column("run", _text("lane"))
    op.add_column("run", sa.Column("rank", sa.Float(), server_default="0", nullable=False))
    op.add_column(
        "worker",
        sa.Column("host_memory_bytes", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("worker", sa.Column("labels", sa.JSON(), server_default="{}", nullable=False))
    op.execute(
        "UPDATE run SET submitted_by = "
        "(SELECT owner FROM experiment WHERE experiment.id = run.experiment_id)"
    )
    op.execute(
        f"UPDATE run SET lane = queue || ':0::' || submitted_by, "
        f"rank = {_seconds('created_at')} - 3600 * priority"
    )
    for columns in INDEXES:
        op.create_index(_name(columns), "run", list(columns))
    for columns in REPLACED:
        op.drop_index(_name(columns), "run")


def downgrade() -> None:
    for columns in REPLACED:
        op.create_index(_name(columns), "run", list(columns))
    for columns in INDEXES:
        op.drop_index(_name(columns), "run")
    for name in ("labels", "host_memory_bytes"):
        op.drop_column("worker", name)
    for name in ("rank", "lane", "requires", "memory_bytes", "submitted_by"):
        op.drop_column("run", name)


def _text(name: str, kind: sa.types.TypeEngine[str] | None = None) -> sa.Column[str]:
    return sa.Column(name, kind or sa.Text(), server_default="", nullable=False)


def _name(columns: tuple[str, ...]) -> str:
    return op.f(f"ix_run_{'_'.join(columns)}")


def _seconds(column: str) -> str:
    """Since 1970."""
    if op.get_bind().dialect.name == "sqlite":
        return f"(julianday({column}) - 2440587.5) * 86400.0"
    return f"extract(epoch FROM {column})"
