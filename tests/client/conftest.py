"""A live API without workers, a whole service, and the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.ports import free_port
from ops.up import Stack
from richregime import Client
from richregime.cli import app
from storage.database.engine import Database
from tests.api.api_server import make_settings, serve_api

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Invoke = Callable[..., Any]


@pytest.fixture(scope="session")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API without workers: submitted experiments stay queued."""
    settings = make_settings(tmp_path_factory.mktemp("home"))
    database = Database(settings.resolved_database_url)
    database.upgrade()
    database.dispose()
    with serve_api(settings) as api_server:
        yield str(api_server.http.base_url)


@pytest.fixture
def client(live_url: str) -> Iterator[Client]:
    with Client(live_url) as live_client:
        yield live_client


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a whole service: broker, API and workers."""
    with Stack(tmp_path_factory.mktemp("service"), free_port()) as stack:
        yield stack.url


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs `richregime` in a new process."""

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
def invoke() -> Invoke:
    """Runs `richregime` in this process, which is faster."""
    return lambda *arguments: CliRunner().invoke(app, arguments)
