"""A broker that is killed or frozen: the API reports it, does not wait for it, and recovers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ops.broker import Broker
from runtime.settings import Settings
from storage.database.engine import Database
from storage.delivery.wake_ups import socket_path
from storage.runs.workers import note_worker_seen, register_worker
from tests.faults.api_process import ApiProcess, run_api
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dead_broker")

WAKE_AFTER_SECONDS = 2.0
RESPONSE_SECONDS = 5.0
"""Limit for a response on a busy machine, whatever the broker does"""


class FragileBroker:
    """A broker to kill or freeze, with a registered worker that reads no wake-ups."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, broker_url=None)
        self.broker = Broker(settings)
        self.broker.start()
        self._socket = socket_path(settings)
        self._db = Database(settings.resolved_database_url)
        with self._db.write() as session:
            self._worker = register_worker(
                session,
                host="here",
                pid=1,
                device="cpu",
                device_class="cpu",
                slots=1,
                memory_bytes=0,
                versions={},
            )

    def note_worker_seen(self) -> None:
        with self._db.write() as session:
            note_worker_seen(session, self._worker, slots=1)

    def take_wake_ups(self) -> int:
        """Delete the wake-ups; returns how many there were."""
        self.note_worker_seen()
        with Redis(unix_socket_path=self._socket, socket_timeout=5) as connection:
            count = int(connection.llen("cpu"))
            connection.delete("cpu")
        return count

    def kill(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()

    def restart(self) -> None:
        self.broker.start()

    def freeze(self) -> None:
        os.kill(self.broker.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.broker.process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.broker.stop()
        self._db.dispose()


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    (tmp_path / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    return tmp_path


@pytest.fixture
def broker(home: Path) -> Iterator[FragileBroker]:
    made = FragileBroker(home)
    yield made
    made.close()


def timed(request: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return request(), time.monotonic() - began


def is_ready(api: ApiProcess, broker: FragileBroker) -> bool:
    broker.note_worker_seen()
    return api.http.get("/readyz").status_code == 200


@pytest.mark.parametrize(("break_it", "repair"), [("kill", "restart"), ("freeze", "thaw")])
def test_an_unavailable_broker_is_reported_and_delays_no_request(
    home: Path, broker: FragileBroker, break_it: str, repair: str
) -> None:
    with run_api(home, wake_after_seconds=WAKE_AFTER_SECONDS) as api:
        assert is_ready(api, broker)
        assert api.submit().status_code == 201
        wait_until(broker.take_wake_ups, 10)
        getattr(broker, break_it)()
        response, seconds = timed(lambda: api.http.get("/readyz"))
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert "the broker does not answer" in response.json()["detail"]
        assert int(response.headers["retry-after"]) > 0
        assert seconds < RESPONSE_SECONDS
        for _ in range(3):
            response, seconds = timed(api.submit)
            assert response.status_code == 201
            assert seconds < RESPONSE_SECONDS
        assert api.http.get("/queue").json()["queued"] == 4
        getattr(broker, repair)()
        wait_until(lambda: is_ready(api, broker), 10)
        wait_until(broker.take_wake_ups, 30)
