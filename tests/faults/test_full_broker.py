"""A broker without memory for messages: runs are accepted, executed, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ops.broker import Broker
from runtime.settings import Settings
from storage.delivery.wake_ups import BrokerUnavailable, socket_path
from tests.faults.api_process import run_api
from tests.workers.worker_harness import WorkerHarness, harness_factory

pytestmark = pytest.mark.xdist_group("full_broker")

ENDLESS = {"kind": "train", "epochs": 10_000, "model": {"name": "relu_net", "width": 20}}
SPEC = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}


class LimitedBroker:
    """A broker that refuses all writes while it is full."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, broker_url=None)
        self._broker, self.socket = Broker(settings), socket_path(settings)
        self._broker.start()
        self._set("maxmemory-policy", "noeviction")

    def fill(self) -> None:
        self._set("maxmemory", "1")

    def empty(self) -> None:
        self._set("maxmemory", "0")

    def _set(self, name: str, value: str) -> None:
        with Redis(unix_socket_path=self.socket) as connection:
            connection.config_set(name, value)

    def close(self) -> None:
        self._broker.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LimitedBroker]:
    made = LimitedBroker(tmp_path / "broker")
    yield made
    made.close()


@pytest.fixture
def harness(
    broker: LimitedBroker, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[WorkerHarness]:
    with harness_factory(tmp_path_factory, broker.socket, sqlite_template) as make:
        yield make()


def assert_refused(harness: WorkerHarness) -> None:
    with pytest.raises(BrokerUnavailable, match="OutOfMemoryError"):
        harness.send_wake_up()


def test_workers_start_and_find_runs_while_the_broker_is_full(
    broker: LimitedBroker, harness: WorkerHarness
) -> None:
    broker.fill()
    worker = harness.start_worker()
    assert_refused(harness)
    with run_api(harness.settings.home, broker_url=f"redis+socket://{broker.socket}") as api:
        accepted = [api.submit(spec=SPEC) for _ in range(3)]
        assert [response.status_code for response in accepted] == [201] * 3
        assert api.http.get("/readyz").status_code == 200
        for response in accepted:
            (run,) = harness.runs(response.json()["id"])
            assert harness.wait(run.id, "succeeded").attempts == 1
        assert worker.poll() is None
        broker.empty()
        response = api.submit(spec=SPEC)
        (run,) = harness.runs(response.json()["id"])
        harness.wait(run.id, "succeeded")


def test_a_worker_that_runs_survives_a_broker_that_fills(
    broker: LimitedBroker, harness: WorkerHarness
) -> None:
    """For longer than kombu's timers. It then releases the run that it found by itself."""
    worker = harness.start_worker()
    harness.wait(harness.submit(SPEC)[1], "succeeded")
    broker.fill()
    for _ in range(4):
        harness.wait(harness.submit(SPEC, wake=False)[1], "succeeded")
    assert worker.poll() is None
    _, run_id = harness.submit(ENDLESS, wake=False)
    harness.wait_for_checkpoint(run_id)
    worker.terminate()
    assert worker.wait(timeout=20) == 0, harness.log
    row = harness.run(run_id)
    assert (row.status, row.interruptions, row.attempts) == ("queued", 1, 0)
    assert "the broker takes no wake-ups (OutOfMemoryError)" in harness.log
