"""A worker whose broker dies at the worst moment."""

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
from tests.workers.conftest import Lab
from workers.devices import make_capacity

pytestmark = pytest.mark.xdist_group("worker_broker")

SPEC = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, str]]:
    """A broker of the test's own, and its socket."""
    settings = Settings(home=tmp_path_factory.mktemp("mortal"), broker_url=None)
    broker = Broker(settings)
    broker.start()
    yield broker, socket_path(settings)
    broker.stop()


def test_a_worker_hears_again_whose_broker_died_between_a_bell_and_its_answer(
    make_lab: Callable[..., Lab], mortal: tuple[Broker, str]
) -> None:
    """The child is held so that the wake-up is read but not begun; when it begins, there is nobody to tell."""
    broker, socket = mortal
    lab = make_lab(broker_url=f"redis+socket://{socket}", wake_after_seconds=600.0)
    lab.start_worker()
    child = lab.child_of(lab.wait(lab.submit(SPEC)[1], "succeeded").id)
    with Redis(unix_socket_path=socket) as connection:
        wait_until(lambda: is_read_by_a_held_child(lab, child, connection))
    heard = lab.submit(SPEC, wake=False)[1]
    broker.process.kill()
    broker.process.wait()
    os.kill(child, signal.SIGCONT)
    lab.wait(heard, "succeeded")
    broker.start()
    lab.wait(lab.submit(SPEC)[1], "succeeded")


def is_read_by_a_held_child(lab: Lab, child: int, connection: Redis) -> bool:
    """Hold the child and ring; where it was not idle yet the wake-up is left lying, and the child goes on to be so."""
    channel = make_capacity(lab.settings, "cpu").channel
    os.kill(child, signal.SIGSTOP)
    lab.send_wake_up()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if connection.llen(channel) == 0:
            return True
        time.sleep(0.02)
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: connection.llen(channel) == 0)
    return False
