"""The whole service on this machine as one process tree: broker, database, workers, API."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import httpx

from richregime.broker import Broker, die_with_parent
from storage.db import Database
from storage.settings import Settings

READY_SECONDS = 60.0
DRAIN_SECONDS = 40.0
RESTART_SECONDS = 2.0

log = logging.getLogger("richregime.up")


class HomeInUse(Exception):
    """Another service already uses this home."""


class Stack:
    """All parts over one home; a context manager that leaves no process behind."""

    def __init__(
        self, home: Path, port: int, *, settings: Settings | None = None, verbose: bool = False
    ) -> None:
        base = settings or Settings()
        self.settings = base.model_copy(update={"home": home.absolute(), "port": port})
        self._verbose = verbose
        self._lock: IO[str] | None = None
        self._broker: Broker | None = None
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = False

    @property
    def url(self) -> str:
        host = self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

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
        """Return once the API and a worker are ready. Raises HomeInUse, RuntimeError."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        if self.settings.broker_url is None:
            self._broker = Broker(self.settings)
            self._broker.start()
        database = Database(self.settings.resolved_database_url)
        database.upgrade()
        database.dispose()
        for name in self._commands():
            self._start_part(name)
        self._wait_until_ready()

    def watch(self) -> None:
        """Restart parts that end by themselves, until `stop` or a signal."""
        while not self._stopping:
            for name, process in list(self._parts.items()):
                if process.poll() is not None and not self._stopping:
                    log.warning("%s ended with code %s and is started again", name, process.returncode)
                    time.sleep(RESTART_SECONDS)
                    self._start_part(name)
            if self._broker is not None and self._broker.process.poll() is not None and not self._stopping:
                log.warning("the broker ended and is started again")
                self._broker.start()
            time.sleep(0.5)

    def stop(self) -> None:
        """Drain the workers, then end the API and the broker."""
        self._stopping = True
        workers = [process for name, process in self._parts.items() if name.startswith("worker")]
        for process in workers:
            _signal(process, signal.SIGTERM)
        _wait(workers, DRAIN_SECONDS)
        others = [process for process in self._parts.values() if process not in workers]
        for process in others:
            _signal(process, signal.SIGTERM)
        _wait(others, 10.0)
        self._parts.clear()
        if self._broker is not None:
            self._broker.stop()
            self._broker = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        path = self.settings.home / "up.lock"
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip()
            lock.close()
            raise HomeInUse(f"{self.settings.home} is already served by {who or 'another process'}") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} at {self.url}")
        lock.flush()
        self._lock = lock

    def _commands(self) -> dict[str, list[str]]:
        gpus = count_gpus()
        workers = {f"worker-gpu{index}": ["workers.main", "--queue", "gpu"] for index in range(gpus)}
        return {
            "api": ["api.main"],
            **(workers or {"worker": ["workers.main", "--queue", "cpu"]}),
        }

    def _start_part(self, name: str) -> None:
        environment = {**os.environ, **self._environment()}
        if name.startswith("worker-gpu"):
            environment["CUDA_VISIBLE_DEVICES"] = name.removeprefix("worker-gpu")
        if name.startswith("worker"):
            environment["REMAP_SIGTERM"] = "SIGQUIT"
        process = subprocess.Popen(
            [sys.executable, "-m", *self._commands()[name]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._parts[name] = process
        folder = self.settings.home / "logs"
        folder.mkdir(exist_ok=True)
        threading.Thread(
            target=self._copy_log,
            args=(name, process, folder / f"{name}.log"),
            name=f"log-{name}",
            daemon=True,
        ).start()

    def _environment(self) -> dict[str, str]:
        """The settings, handed on as variables."""
        names = {"home", "host", "port", *self.settings.model_fields_set}
        values = {name: getattr(self.settings, name) for name in names}
        return {
            f"RICHREGIME_{name.upper()}": str(value) for name, value in values.items() if value is not None
        }

    def _copy_log(self, name: str, process: subprocess.Popen[bytes], path: Path) -> None:
        assert process.stdout is not None
        with path.open("ab") as file:
            for line in process.stdout:
                file.write(line)
                file.flush()
                if self._verbose:
                    sys.stderr.write(f"{name:>8} | {line.decode(errors='replace')}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            for name, process in self._parts.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended at once; see {self.settings.home / 'logs' / name}.log")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
        raise RuntimeError(
            f"the service was not ready after {READY_SECONDS:.0f} s; see {self.settings.home / 'logs'}"
        )


def up(settings: Settings) -> int:
    """Serve in the foreground until a signal; 0 after a clean stop, 1 where it could not start."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stack = Stack(settings.home, settings.port, settings=settings, verbose=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with stack:
            print(_greeting(stack), flush=True)
            stack.watch()
    except KeyboardInterrupt:
        print("stopped", flush=True)
        return 0
    except (HomeInUse, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _greeting(stack: Stack) -> str:
    url = stack.url
    body = """'{"spec": {"kind": "train"}}'"""
    return (
        f"\nrichregime is ready\n  page     {url}/\n  Swagger  {url}/docs\n  state    {stack.settings.home}\n"
        f"  try      curl -X POST {url}/experiments -H 'content-type: application/json' -d {body}\n"
        "  Ctrl-C stops it; runs under way are saved and go on at the next start\n"
    )


def count_gpus() -> int:
    """GPUs of this machine by NVML, or by CUDA_VISIBLE_DEVICES where it is set; torch is not asked."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip()])
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _wait(processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
    """Wait for all; whoever does not end in time is killed with all its children."""
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
