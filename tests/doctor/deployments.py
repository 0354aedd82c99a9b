"""Settings, databases and workers of deployments, and the messages of findings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ops.doctor.findings import Finding, Level
from runtime.settings import Settings
from storage.database.engine import Database
from storage.runs.workers import note_worker_seen, register_worker

UNPRIVILEGED = 65534
"""The user id of `nobody`"""


def make_settings(home: Path, **values: Any) -> Settings:
    given = {"database_url": None, "broker_url": None, "blob_dir": None, "data_dir": None, **values}
    return Settings(home=home, **given)


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database of the settings; closed afterwards."""
    db = Database(settings.resolved_database_url)
    yield db
    db.dispose()


def add_listening_worker(db: Database, **versions: str) -> str:
    with db.write() as session:
        description: dict[str, Any] = {
            "host": "host-1",
            "pid": 1,
            "device": "cpu",
            "device_class": "cpu",
            "slots": 2,
            "memory_bytes": 1 << 30,
        }
        found = register_worker(
            session, **description, versions={"richregime": version("richregime"), **versions}
        )
        note_worker_seen(session, found, slots=2)
        return found


def messages(findings: Iterable[Finding], subject: str, level: Level) -> str:
    """Messages and actions of the findings with this subject and level; fails if there is none."""
    found = list(findings)
    texts = [
        f"{one.message}: {one.action}"
        for one in found
        if (one.subject, one.level) == (subject, level)
    ]
    assert texts, found
    return "\n".join(texts)


@contextmanager
def as_unprivileged_user() -> Iterator[None]:
    """Root can write everywhere; in the block the process has a user who cannot."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(before)
