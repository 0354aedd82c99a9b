"""MLflow's tracking server from PyPI in its own environment, used over its REST API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.service_process import JsonClient, free_port, wait_until

READY_SECONDS = 300.0


class MlflowServer:
    """A server with SQLite that ends with its block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.version = ""
        self.seconds_to_ready = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Create the environment; takes a minute or two."""
        environment = self._folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = str(environment / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "mlflow"]
        subprocess.run(install, check=True)
        show_version = [python, "-c", "import importlib.metadata as m; print(m.version('mlflow'))"]
        self.version = subprocess.run(
            show_version, check=True, capture_output=True, text=True
        ).stdout.strip()

    def __enter__(self) -> MlflowServer:
        began = time.perf_counter()
        log = (self._folder / "mlflow.log").open("ab")
        self._process = subprocess.Popen(
            [
                *(str(self._folder / "venv" / "bin" / "mlflow"), "server"),
                *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            cwd=self._folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        try:
            wait_until(self._is_ready, READY_SECONDS, 0.05)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.perf_counter() - began
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def connect(self) -> JsonClient:
        return JsonClient("127.0.0.1", self.port)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "MLflow has ended; its log is in its folder"
        client = self.connect()
        try:
            return client.request_bytes("GET", "/health")[0] == 200  # the body is not JSON
        except (OSError, HTTPException):
            return False
        finally:
            client.close()


def create_run(client: JsonClient, seed: int) -> str:
    """Create a run in the default experiment, with its seed as a tag; returns its id."""
    body: Mapping[str, Any] = {
        "experiment_id": "0",
        "run_name": f"seed {seed}",
        "start_time": int(time.time() * 1e3),
        "tags": [{"key": "seed", "value": str(seed)}],
    }
    return str(client.post("/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"])


def log_metrics(client: JsonClient, run_id: str, key: str, start: int, stop: int) -> None:
    """Log one batch; the server accepts at most 1,000 points."""
    now = int(time.time() * 1e3)
    points = [
        {"key": key, "value": step / 7, "timestamp": now, "step": step}
        for step in range(start, stop)
    ]
    client.post("/api/2.0/mlflow/runs/log-batch", {"run_id": run_id, "metrics": points})


def read_metrics(client: JsonClient, run_id: str, key: str) -> int:
    """The number of points in the metric's history."""
    path = f"/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={key}&max_results=25000"
    return len(client.get(path)["metrics"])
