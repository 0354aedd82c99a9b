"""The service on one machine as one process tree: broker, database, API and workers."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any

import httpx
from pydantic import SecretStr

from engine.durations import format_seconds
from ops.broker import Broker
from ops.managed_process import ManagedProcess
from ops.ports import free_port, is_free
from runtime.environment import list_leftovers, remove_leftovers
from runtime.home import make_new_files_private, prepare_folder
from runtime.logs import LogFormat, set_up_logging
from runtime.setting_errors import InvalidSetting
from runtime.settings import Settings
from storage.database.availability import describe_failure
from storage.database.engine import Database, DatabaseError
from storage.errors import StorageError
from workers.devices import list_gpus

READY_SECONDS = 120.0
"""Longest wait for the API and a worker to become ready"""
DRAIN_SECONDS = 35.0
"""Longest wait for the workers to stop; longer than a worker waits for its children"""
PORT_SECONDS = 6.0
"""Longest wait for the port, which a service that has just ended may still hold"""

log = logging.getLogger("ops.up")


class HomeInUse(Exception):
    """Another service already uses this home."""


class StartFailed(RuntimeError):
    """A process did not start; the message names it and ends with its last log lines."""


class Stack:
    """All processes of a service with one home; a context manager that ends them all.

    port: 0 chooses a free one. verbose: copy the log lines of the processes to standard error.
    Enter it from a thread that outlives it (see `ManagedProcess`).
    """

    def __init__(
        self, home: Path, port: int, *, settings: Settings | None = None, verbose: bool = False
    ) -> None:
        base = settings or Settings()
        self.settings = base.model_copy(
            update={"home": home.absolute(), "port": port or free_port(base.host)}
        )
        prefix = "{name:>8} | " if self.settings.log_format is LogFormat.TEXT else ""
        self._echo = prefix if verbose else None
        self._lock: IO[str] | None = None
        self._broker: Broker | None = None
        self._processes: list[ManagedProcess] = []

    @property
    def url(self) -> str:
        host = self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name: `api`, `worker` or `worker-gpu...`, and an embedded `broker`."""
        found = {process.name: process.pid for process in self._processes}
        if self._broker is not None:
            found["broker"] = self._broker.process.pid
        return found

    def __enter__(self) -> Stack:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return once the API and a worker are ready. Raises HomeInUse, StartFailed."""
        prepare_folder("the home", self.settings.home)
        self._take_lock()
        self._wait_for_port()
        if self.settings.broker_url is None:
            self._broker = Broker(self.settings)
            self._broker.start()
        database = Database(self.settings.resolved_database_url)
        database.upgrade()
        database.dispose()
        self._processes = self._make_processes()
        for process in self._processes:
            process.start()
        self._wait_until_ready()

    def watch(self) -> None:
        """Restart processes that end, until an exception is raised (by a signal handler)."""
        while True:
            for process in self._processes:
                process.restart_if_ended()
            if self._broker is not None and self._broker.process.poll() is not None:
                log.warning("the broker ended; it is restarted")
                try:
                    self._broker.start()
                except RuntimeError as error:
                    log.warning("%s", error)
                    time.sleep(2.0)
            time.sleep(0.3)

    def stop(self) -> None:
        """Drain the workers, then end the API and the broker.

        An exception meanwhile, such as a second Ctrl-C, kills the processes that are left.
        """
        workers = [process for process in self._processes if process.name.startswith("worker")]
        others = [process for process in self._processes if process not in workers]
        try:
            for group, seconds in ((workers, DRAIN_SECONDS), (others, 10.0)):
                for process in group:
                    process.terminate()
                deadline = time.monotonic() + seconds
                for process in group:
                    process.wait(deadline - time.monotonic())
        finally:
            for process in self._processes:
                process.kill()
            self._processes = []
            if self._broker is not None:
                self._broker.stop()
                self._broker = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _take_lock(self) -> None:
        lock = (self.settings.home / "up.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise HomeInUse(
                f"{self.settings.home} is already used by {holder or 'another process'}"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} at {self.url}")
        lock.flush()
        self._lock = lock

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + PORT_SECONDS
        while not is_free(self.settings.host, self.settings.port):
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"port {self.settings.port} of {self.settings.host} is in use by another "
                    "program; choose another port with --port"
                )
            time.sleep(0.2)

    def _make_processes(self) -> list[ManagedProcess]:
        folder = self.settings.home / "logs"
        common = self._environment()

        def process(name: str, *arguments: str, **environment: str) -> ManagedProcess:
            return ManagedProcess(
                name, arguments, {**common, **environment}, folder, echo=self._echo
            )

        workers = [
            process(
                f"worker-gpu{index}",
                *("workers.entry", "--device", "gpu"),
                CUDA_DEVICE_ORDER="PCI_BUS_ID",  # NVML's order
                CUDA_VISIBLE_DEVICES=gpu,
            )
            for index, gpu in enumerate(list_gpus())
        ]
        return [
            process("api", "ops.api_with_mcp" if self.settings.mcp else "api.app"),
            *(workers or [process("worker", "workers.entry", "--device", "cpu")]),
        ]

    def _environment(self) -> dict[str, str]:
        """The settings that were given, as environment variables for the processes."""
        names = {"home", "host", "port", *self.settings.model_fields_set}
        values = {name: getattr(self.settings, name) for name in names}
        return {
            f"RICHREGIME_{name.upper()}": _to_text(value)
            for name, value in values.items()
            if value is not None
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        # One client for all requests: each new client loads all certificates. The address is local,
        # so the environment's proxy settings are ignored.
        with httpx.Client(timeout=5, trust_env=False) as http:
            while time.monotonic() < deadline:
                for process in self._processes:
                    if not process.is_running:
                        raise StartFailed(
                            f"{process.name} ended during the start; its last log lines:\n"
                            f"{process.log_tail()}"
                        )
                if self._is_ready(http):
                    return
                time.sleep(0.1)
        logs = self.settings.home / "logs"
        raise StartFailed(
            f"the service was not ready after {format_seconds(READY_SECONDS)}; "
            f"see the logs in {logs}"
        )

    def _is_ready(self, http: httpx.Client) -> bool:
        try:
            return http.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False  # not listening yet


def up(settings: Settings) -> int:
    """Run the service in the foreground until a signal.

    Returns 0 after a clean stop, 1 if the service did not start or the stop was interrupted, 2 for
    a host or port that cannot be used.
    """
    set_up_logging(settings.log_format, "up")
    if ignored := list_leftovers(os.environ):
        log.warning("these environment variables are ignored: %s", ", ".join(ignored))
        remove_leftovers(os.environ)
    make_new_files_private()
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell that starts a program in the background sets SIGINT to ignored.
    signal.signal(signal.SIGINT, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` sets it to ignored
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        with Stack(settings.home, settings.port, settings=settings, verbose=True) as stack:
            print(_greeting(stack), flush=True)
            try:
                stack.watch()
            except KeyboardInterrupt:
                print("stopping; unfinished runs continue at the next start", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except InvalidSetting as error:
        print(error, file=sys.stderr)
        return 2
    except DatabaseError as error:
        print(describe_failure(error), file=sys.stderr)
        return 1
    except (HomeInUse, RuntimeError, StorageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _greeting(stack: Stack) -> str:
    url = stack.url
    body = """'{"spec": {"kind": "train"}}'"""
    assistants = f"  MCP       {url}/mcp\n" if stack.settings.mcp else ""
    return (
        "\nrichregime is ready\n"
        f"  web page  {url}/\n"
        f"  API       {url}/docs\n"
        f"{assistants}"
        f"  data      {stack.settings.home}\n"
        f"  try it    curl -X POST {url}/experiments"
        f" -H 'content-type: application/json' -d {body}\n"
        "  Ctrl-C stops it; unfinished runs continue at the next start\n"
    )


def _to_text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
