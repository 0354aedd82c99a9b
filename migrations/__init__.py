"""Alembic's revisions of the schema in `storage.tables`."""
