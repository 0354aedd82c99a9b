"""The service as a user starts it, with a home of its own, and a minimal client."""

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


class JsonClient:
    """One kept-alive connection for JSON: minimal, so that the server is measured.

    Servers close connections that are idle for a few seconds; the client reconnects before that.
    """

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=120)
        self._used_at = time.monotonic()

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Returns (status, parsed JSON)."""
        status, content = self.request_bytes(method, path, body)
        return status, json.loads(content) if content else None

    def request_bytes(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Returns (status, body)."""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._connection.close()
        payload = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        self._used_at = time.monotonic()
        return response.status, content

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        status, found = self.request("POST", path, body)
        assert status in (200, 201), (status, found)
        return found

    def get(self, path: str) -> Any:
        status, found = self.request("GET", path)
        assert status == 200, (status, found)
        return found

    def close(self) -> None:
        self._connection.close()


class Service:
    """`richregime up` as a process that ends with its block."""

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

    @property
    def pid(self) -> int:
        """Of the process that started the others."""
        assert self._process is not None
        return self._process.pid

    def connect(self) -> JsonClient:
        return JsonClient("127.0.0.1", self.port)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the service has ended; its log is beside its home"
        client = self.connect()
        try:
            return client.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.01) -> None:
    """Raises TimeoutError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {seconds:.0f} s")
        time.sleep(interval)


def wait_for_end(client: JsonClient, experiment_ids: Iterable[str], seconds: float = 600.0) -> None:
    """Wait until all have succeeded. The last submitted is polled first, because it ends last."""
    for experiment_id in reversed(list(experiment_ids)):

        def ended(experiment_id: str = experiment_id) -> bool:
            found = client.get(f"/experiments/{experiment_id}")
            assert found["status"] not in ("failed", "cancelled"), found
            return bool(found["terminal"])

        wait_until(ended, seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tiny_experiment(seed: int, **changes: Any) -> dict[str, Any]:
    """The body of an experiment of a few dozen steps, without reuse. changes: of its spec."""
    spec = {
        "kind": "train",
        "data": {"name": "digits", "train_size": 500, "test_size": 200},
        "model": {"name": "relu_net", "width": 10},
        "epochs": 2,
        **changes,
    }
    return {"spec": spec, "seeds": [seed], "reuse": False}
