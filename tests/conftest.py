"""Shared fixtures: settings with a fresh home, migrated databases, a broker, a Postgres."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.broker import Broker
from runtime.settings import Settings
from storage.database.engine import Database
from storage.delivery.wake_ups import socket_path
from storage.files.blobs import BlobStore
from tests.postgres import postgres_server as open_postgres_server

LONGEST_FIRST = ("faults", "client", "stack", "workers", "architecture", "every_kind", "storage")
"""Folders with long files, which start first, so that both test processes end together."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests; those of a file run in one process, which sets up their fixtures once."""
    order = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.stem}"))


def pytest_collection_finish() -> None:
    """Prepare this process for computing like every process of the service: flush denormals."""
    if "torch" in sys.modules:
        from engine.determinism import prepare_process

        prepare_process()


@pytest.fixture(autouse=True)
def kept_umask() -> Iterator[None]:
    """A program that a test runs in this process makes new files private; later tests do not."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a fresh home and everything embedded; environment variables are ignored."""
    return Settings(
        home=tmp_path / "home", database_url=None, broker_url=None, data_dir=None, blob_dir=None
    )


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, for copying."""
    path = tmp_path_factory.mktemp("migrated") / "richregime.sqlite3"
    db = Database(f"sqlite:///{path}")
    db.upgrade()
    db.dispose()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated database for one test."""
    path = tmp_path / "own.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """A file store for one test."""
    return BlobStore(tmp_path / "blobs")


@pytest.fixture(scope="session")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a real broker."""
    settings = Settings(home=tmp_path_factory.mktemp("broker"), broker_url=None)
    broker = Broker(settings)
    broker.start()
    yield socket_path(settings)
    broker.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real Postgres."""
    with open_postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def denormals() -> Iterator[None]:
    """Keep denormals: Hypothesis draws from all floats, and training flushes the smallest."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)
    yield
    if torch is not None:
        torch.set_flush_denormal(True)
