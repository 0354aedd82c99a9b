"""A broker that is killed or frozen under a running API: told at once, waited for by nobody, healed by itself."""

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
from tests.faults.test_service_under_pressure import Service, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dead_broker")

RING_AFTER = 2.0
AT_ONCE = 5.0
"""Seconds in which a request is answered on a busy machine, whatever the broker does"""


class WakeUps:
    """A broker that may be struck, and what lies in it: a worker is announced, but nobody listens."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, broker_url=None)
        self.broker = Broker(settings)
        self.broker.start()
        self._socket = socket_path(settings)
        self._db = Database(settings.resolved_database_url)
        announced = {"host": "here", "pid": 1, "device": "cpu", "device_class": "cpu", "slots": 1}
        with self._db.write() as session:
            self._worker = register_worker(session, **announced, memory_bytes=0, versions={})

    def be_seen(self) -> None:
        with self._db.write() as session:
            note_worker_seen(session, self._worker)

    def take(self) -> int:
        """How many there are; none afterwards."""
        self.be_seen()
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
def wake_ups(home: Path) -> Iterator[WakeUps]:
    made = WakeUps(home)
    yield made
    made.close()


def timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def is_ready(service: Service, wake_ups: WakeUps) -> bool:
    wake_ups.be_seen()
    return service.http.get("/readyz").status_code == 200


@pytest.mark.parametrize(("strike", "heal"), [("kill", "restart"), ("freeze", "thaw")])
def test_a_broker_that_does_not_answer_is_told_and_waited_for_by_nobody(
    home: Path, wake_ups: WakeUps, strike: str, heal: str
) -> None:
    with serving(home, wake_after_seconds=RING_AFTER) as service:
        assert is_ready(service, wake_ups)
        assert service.submit().status_code == 201
        wait_until(wake_ups.take, 10)
        getattr(wake_ups, strike)()
        answer, seconds = timed(lambda: service.http.get("/readyz"))
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "the broker does not answer" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert seconds < AT_ONCE
        for _ in range(3):
            answer, seconds = timed(service.submit)
            assert answer.status_code == 201
            assert seconds < AT_ONCE
        assert service.http.get("/queue").json()["queued"] == 4
        getattr(wake_ups, heal)()
        wait_until(lambda: is_ready(service, wake_ups), 10)
        wait_until(wake_ups.take, 30)
