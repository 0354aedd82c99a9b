"""A live API without workers, on a database and a home of its own; and a whole service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ops.demo import free_port
from ops.up import Stack
from richregime import Client
from storage.database.engine import Database
from tests.api.api_server import make_settings, serve_api

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API that nobody works for: what is submitted stays queued."""
    settings = make_settings(tmp_path_factory.mktemp("home"))
    database = Database(settings.resolved_database_url)
    database.upgrade()
    database.dispose()
    with serve_api(settings) as api_server:
        yield str(api_server.http.base_url)


@pytest.fixture
def client(live_url: str) -> Iterator[Client]:
    with Client(live_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a whole service: broker, API and workers."""
    with Stack(tmp_path_factory.mktemp("service"), free_port()) as stack:
        yield stack.url


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs `richregime` as a user does."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[2]
        return subprocess.run(
            [sys.executable, "-m", "richregime", *arguments],
            cwd=root,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    """Runs `richregime` within this process: what a new one would cost is saved."""
    from richregime.cli import app

    return lambda *arguments: CliRunner().invoke(app, arguments)
