"""SQLite on a file system of other hosts: it works for one host at a time, and not safely for two.

Its write-ahead log needs memory that all processes share, which two hosts never do, and locks that
some network file systems only pretend to take.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from sqlalchemy.engine import make_url

from runtime.file_system import network_type_of

log = logging.getLogger("richregime.storage")

ADVICE = (
    "put the home on a local disk, or use Postgres (RICHREGIME_DATABASE_URL); "
    "never start the service from two hosts on the same file"
)


def sqlite_file(url: str) -> Path | None:
    """The file of a database; None for Postgres."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database)


def describe_network_file(file: Path) -> str | None:
    """What is wrong with a SQLite file at this path; None for a local file system."""
    kind = network_type_of(file)
    if kind is None:
        return None
    return (
        f"the SQLite database {file} is on a network file system ({kind}), whose locks may not "
        "protect it: its data can be damaged"
    )


@cache
def warn_of_network_file(file: Path) -> None:
    """Log it, once for each file and process."""
    problem = describe_network_file(file)
    if problem is not None:
        log.warning("%s; %s", problem, ADVICE)
