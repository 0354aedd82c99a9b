"""The embedded broker: leftover servers, damaged messages, permissions, long paths."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ops.broker import Broker
from runtime.settings import Settings
from storage.delivery.wake_ups import socket_path


@pytest.fixture
def brokers(settings: Settings) -> Iterator[list[Broker]]:
    made = [Broker(settings), Broker(settings)]
    yield made
    for broker in made:
        broker.stop()


def connect(settings: Settings) -> Redis:
    return Redis(unix_socket_path=socket_path(settings))


def test_wake_ups_survive_a_killed_broker(settings: Settings, brokers: list[Broker]) -> None:
    broker = brokers[0]
    broker.start()
    with connect(settings) as connection:
        connection.lpush("cpu", "wake-up")
        connection.execute_command("WAITAOF", 1, 0, 5000)
    broker.process.kill()
    broker.process.wait()
    broker.start()
    with connect(settings) as connection:
        assert connection.llen("cpu") == 1


def test_a_leftover_server_is_replaced(brokers: list[Broker]) -> None:
    leftover, broker = brokers
    leftover.start()
    broker.start()
    leftover.process.wait(timeout=10)
    assert broker.responds()


def test_unreadable_messages_are_moved_away(settings: Settings, brokers: list[Broker]) -> None:
    broker = brokers[0]
    broker.start()
    broker.stop()
    for path in (settings.home / "broker" / "appendonlydir").iterdir():
        path.write_bytes(b"nonsense\n" * 100)
    broker.start()
    assert broker.responds()
    assert list((settings.home / "broker").glob("appendonlydir.damaged-*"))


def test_only_its_user_can_reach_the_socket(settings: Settings, brokers: list[Broker]) -> None:
    brokers[0].start()
    path = Path(socket_path(settings))
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.stat().st_mode & 0o077 == 0


def test_the_socket_of_a_home_with_a_long_path_is_in_another_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("deep/" * 30))
    broker = Broker(settings)
    try:
        broker.start()
        assert broker.responds()
        socket = Path(socket_path(settings))
        assert settings.home not in socket.parents
    finally:
        broker.stop()
    assert not socket.parent.exists()


def test_a_broker_ends_with_the_process_that_started_it(settings: Settings) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from ops.broker import Broker; from runtime.settings import Settings\n"
        "broker = Broker(Settings(home=Path(sys.argv[1]))); broker.start()\n"
        "print(broker.process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(settings.home)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
