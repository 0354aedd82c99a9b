"""A worker whose broker dies between the delivery of a wake-up and its execution."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from ops.broker import Broker
from runtime.settings import Settings
from storage.delivery.wake_ups import socket_path
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness
from workers.devices import make_capacity

pytestmark = pytest.mark.xdist_group("worker_broker")

SPEC = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, str]]:
    """A broker that the test may kill, and its socket."""
    settings = Settings(home=tmp_path_factory.mktemp("own_broker"), broker_url=None)
    broker = Broker(settings)
    broker.start()
    yield broker, socket_path(settings)
    broker.stop()


def test_a_worker_receives_wake_ups_again_after_its_broker_died_during_one(
    make_harness: Callable[..., WorkerHarness], own_broker: tuple[Broker, str]
) -> None:
    """The child is stopped, so that the parent receives a wake-up which the child starts only when
    the broker is dead."""
    broker, socket = own_broker
    harness = make_harness(broker_url=f"redis+socket://{socket}", wake_after_seconds=600.0)
    harness.start_worker()
    child = harness.child_of(harness.wait(harness.submit(SPEC)[1], "succeeded").id)
    with Redis(unix_socket_path=socket) as connection:
        wait_until(lambda: was_read_while_child_is_stopped(harness, child, connection))
    run_id = harness.submit(SPEC, wake=False)[1]
    broker.process.kill()
    broker.process.wait()
    os.kill(child, signal.SIGCONT)
    harness.wait(run_id, "succeeded")
    broker.start()
    harness.wait(harness.submit(SPEC)[1], "succeeded")


def was_read_while_child_is_stopped(harness: WorkerHarness, child: int, connection: Redis) -> bool:
    """Stop the child and send a wake-up; returns whether the parent read it.

    If the child was still busy the wake-up stays unread: then the child continues and reads it.
    """
    channel = make_capacity(harness.settings, "cpu").channel
    os.kill(child, signal.SIGSTOP)
    harness.send_wake_up()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if connection.llen(channel) == 0:
            return True
        time.sleep(0.02)
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: connection.llen(channel) == 0)
    return False
