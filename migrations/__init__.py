"""Alembic migrations of the tables in `storage.database.tables`."""
