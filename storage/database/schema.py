"""The schema: which one a database has, which ones this code knows, and the way from one to another."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def known_revisions() -> list[str]:
    """Oldest first. The file of a revision is named after it, so that none need be loaded to know them."""
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
    """Go forward to `revision`, or to `head`."""
    _migrate(connection, revision, forward=True)


def downgrade(connection: Connection, revision: str) -> None:
    """Go back to `revision`, or to `base`."""
    _migrate(connection, revision, forward=False)


def _migrate(connection: Connection, revision: str, *, forward: bool) -> None:
    from alembic import command  # here, as it takes half a second to load and is seldom needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    (command.upgrade if forward else command.downgrade)(config, revision)
