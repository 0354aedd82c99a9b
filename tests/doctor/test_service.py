"""The checks of a service by its address."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.doctor import service
from ops.doctor.findings import Finding, Level
from schemas.access import Scope
from storage.database.tables import WorkerRow
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.doctor.deployments import add_listening_worker, messages


@pytest.fixture
def api_server(tmp_path: Path, sqlite_template: Path, broker_server: str) -> Iterator[ApiServer]:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, broker_url=f"unix://{broker_server}")) as opened:
        yield opened


def examine(api_server: ApiServer, key: str | None = None) -> Iterator[Finding]:
    return service.examine(str(api_server.http.base_url).rstrip("/"), key)


def test_a_missing_worker_and_a_skewed_clock_are_reported(
    api_server: ApiServer,
) -> None:
    assert "no worker is listening" in messages(examine(api_server), "ready", Level.ERROR)
    worker = add_listening_worker(api_server.db)
    findings = list(examine(api_server))
    assert [
        one
        for one in findings
        if one.level is not Level.OK and one.subject not in ("files", "packages")
    ] == []
    subjects = {one.subject for one in findings}
    assert subjects >= {"service", "clock", "ready", "version", "runs", "files"}
    with api_server.db.write() as session:
        session.get_one(WorkerRow, worker).clock_ahead_seconds = 30.0
    assert "host-1 is 30 s ahead of the database's" in messages(
        examine(api_server), "workers", Level.WARNING
    )


def test_a_key_without_the_scope_read_is_reported(api_server: ApiServer) -> None:
    key, cancel_key = make_key(api_server.db, Scope.READ), make_key(api_server.db, Scope.CANCEL)
    assert "RICHREGIME_KEY" in messages(examine(api_server), "key", Level.ERROR)
    assert "this needs read" in messages(examine(api_server, cancel_key), "key", Level.ERROR)
    assert "waiting" in messages(examine(api_server, key), "runs", Level.OK)


def test_an_address_of_no_or_of_another_service_is_an_error() -> None:
    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    url = f"http://127.0.0.1:{other.server_port}"
    thread = threading.Thread(target=other.handle_request)
    thread.start()
    assert "not as this service" in messages(service.examine(url, None), "service", Level.ERROR)
    thread.join()
    other.server_close()
    assert "does not respond" in messages(service.examine(url, None), "service", Level.ERROR)
