"""Alembic's revisions of the schema in `storage.database.tables`."""
