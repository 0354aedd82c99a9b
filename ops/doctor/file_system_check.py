"""The check of the file system that holds a SQLite database, and of the hosts that use it."""

from __future__ import annotations

from collections.abc import Iterator

from ops.doctor.findings import Finding, error, ok, warning
from runtime.settings import Settings
from storage.database.engine import Database, DatabaseError
from storage.database.shared_files import ADVICE, describe_network_file, sqlite_file
from storage.runs.workers import list_workers


def check_file_system(settings: Settings) -> Iterator[Finding]:
    """Whether a SQLite database is on a local file system and used by one host only."""
    file = sqlite_file(settings.resolved_database_url)
    if file is None:
        return
    problem = describe_network_file(file)
    if problem is None:
        yield ok("file system", "the database is on a local file system")
    else:
        yield warning("file system", problem, ADVICE)
    hosts = _list_hosts(settings) if file.exists() else []
    if len(hosts) > 1:
        message = f"workers of several hosts use the same SQLite database: {', '.join(hosts)}"
        yield error("file system", message, "stop all but one; use Postgres for several hosts")


def _list_hosts(settings: Settings) -> list[str]:
    """The hosts whose workers listen; none where the database cannot be read."""
    db = Database(settings.resolved_database_url)
    try:
        with db.read() as session:
            return sorted({worker.host for worker in list_workers(session) if worker.listening})
    except DatabaseError:
        return []  # the check of the database reports it
    finally:
        db.dispose()
