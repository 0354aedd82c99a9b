"""The service as a user starts it, over a home of its own, and what a client asks of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

READY_SECONDS = 180.0
IDLE_SECONDS = 2.0


class Caller:
    """One kept connection that sends JSON: as little of a client as will do, so that the server is measured.

    Servers close connections that have been idle for a few seconds; it is made anew before.
    """

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=120)
        self._used_at = time.monotonic()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """(status, the JSON answered)"""
        status, content = self.exchange(method, path, body)
        return status, json.loads(content) if content else None

    def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """(status, what was answered)"""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._connection.close()
        payload = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        self._used_at = time.monotonic()
        return answer.status, content

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        status, answer = self.ask("POST", path, body)
        assert status in (200, 201), (status, answer)
        return answer

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, (status, answer)
        return answer

    def close(self) -> None:
        self._connection.close()


class Service:
    """`richregime up` as a process, ended with its block."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.home, self.port = home, free_port()
        self._environment = {
            **os.environ,
            "RICHREGIME_ALLOW_DOWNLOAD": "false",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Service:
        began = time.perf_counter()
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "richregime",
                "up",
                "--home",
                str(self.home),
                "--port",
                str(self.port),
            ],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        try:
            wait_until(self._is_ready, READY_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.perf_counter() - began
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def caller(self) -> Caller:
        return Caller("127.0.0.1", self.port)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (
            "the service ended at once; its log lies beside its home"
        )
        caller = self.caller()
        try:
            return caller.ask("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            caller.close()


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.01) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(interval)


def wait_for_end(caller: Caller, experiment_ids: Iterable[str], seconds: float = 600.0) -> None:
    """Until all have succeeded: the last submitted is asked first, as it is the last to end."""
    for experiment_id in reversed(list(experiment_ids)):

        def ended(experiment_id: str = experiment_id) -> bool:
            found = caller.get(f"/experiments/{experiment_id}")
            assert found["status"] not in ("failed", "cancelled"), found
            return bool(found["terminal"])

        wait_until(ended, seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tiny(seed: int, **changes: Any) -> dict[str, Any]:
    """An experiment of a few dozen steps, computed anew however often it is asked for."""
    spec = {
        "kind": "train",
        "data": {"name": "digits", "train_size": 500, "test_size": 200},
        "model": {"name": "relu_net", "width": 10},
        "epochs": 2,
        **changes,
    }
    return {"spec": spec, "seeds": [seed], "reuse": False}
