"""The schema: find a database's revision, list the known ones, migrate."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def known_revisions() -> list[str]:
    """Oldest first; read from the file names, so that no migration is imported."""
    return sorted(
        path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    )


def find_revision(connection: Connection) -> str | None:
    """The database's revision; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision


def upgrade(connection: Connection, revision: str) -> None:
    """Migrate forward to `revision`, or to `head`."""
    _migrate(connection, revision, forward=True)


def downgrade(connection: Connection, revision: str) -> None:
    """Migrate back to `revision`, or to `base`."""
    _migrate(connection, revision, forward=False)


def _migrate(connection: Connection, revision: str, *, forward: bool) -> None:
    from alembic import command  # imported here: it takes half a second and is rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    (command.upgrade if forward else command.downgrade)(config, revision)
