"""A live API without workers, on a database and a home of its own; and a whole service."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import Result
from typer.testing import CliRunner

from api.main import create_app
from client import Client
from richregime.demo import free_port
from richregime.up import Stack
from storage.db import Database
from storage.settings import Settings

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API that nobody works for: what is submitted stays queued."""
    home = tmp_path_factory.mktemp("home")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = Settings(home=home, port=port)
    database = Database(settings.resolved_database_url)
    database.upgrade()
    database.dispose()
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the API did not start"
        assert time.monotonic() < deadline, "the API did not start in time"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


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
            [sys.executable, "-m", "richregime.cli", *arguments],
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
