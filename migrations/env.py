"""Alembic's environment: runs on the connection that `storage.database.schema` passes."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import storage.database.tables  # noqa: F401  (fills the metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
