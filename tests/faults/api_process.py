"""The API as a process of its own on a home: no broker, no worker."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ops.ports import free_port
from tests.waiting import wait_until
from tests.workers.worker_harness import ROOT

BODY: dict[str, Any] = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


class ApiProcess:
    """`python -m api.app` on a home, without broker and workers."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{free_port()}"
        environment = {f"RICHREGIME_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api.app", "--port", self.url.rpartition(":")[2]],
            cwd=ROOT,
            env={**os.environ, "RICHREGIME_HOME": str(home), **environment},
            stderr=subprocess.DEVNULL,
        )
        self.http = httpx.Client(base_url=self.url, timeout=60)
        wait_until(self._responds, 120)

    def _responds(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def submit(self, **more: Any) -> httpx.Response:
        return self.http.post("/experiments", json={**BODY, **more})

    def memory_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Hold the write lock of its SQLite database."""
        connection = sqlite3.connect(
            self.home / "richregime.sqlite3", timeout=30, isolation_level=None
        )
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def run_api(home: Path, **settings: object) -> Iterator[ApiProcess]:
    api = ApiProcess(home, **settings)
    try:
        yield api
    finally:
        api.close()
