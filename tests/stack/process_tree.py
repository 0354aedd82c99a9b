"""The command `up` on a home of its own, with all its descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from ops.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
BODY = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


def ignore_interrupts() -> None:
    """Like the shell of a script for background processes; a direct interrupt must still work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)  # the usual one, by which every user can read new files


class Tree:
    """`richregime up` on a home, and all its descendants."""

    def __init__(self, home: Path, inherited: Mapping[str, str] = os.environ) -> None:
        self.home, self.port, self._inherited = home, free_port(), inherited
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ignore_interrupts,
            )
        self.wait_until_ready()
        self.members = self.processes()

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "richregime",
            "up",
            "--home",
            str(self.home),
            "--port",
            str(self.port),
        ]

    def environment(self) -> dict[str, str]:
        own = {"RICHREGIME_CPU_WORKERS": "1", "RICHREGIME_WAKE_AFTER_SECONDS": "2"}
        return {**self._inherited, **own}

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, 120)

    def processes(self) -> dict[int, str]:
        """Command lines by process id of all processes that name this home, except `up`."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            pid = int(folder.name)
            if pid != self.process.pid and str(self.home) in arguments + environment:
                found[pid] = arguments
        return found

    def pid_of(self, text: str) -> int:
        return min(pid for pid, command in self.processes().items() if text in command)

    def train(self) -> str:
        """The final status of a small training."""

        def final_status() -> str | None:
            experiment = httpx.get(f"{self.url}/experiments/{name}", timeout=10).json()
            return str(experiment["status"]) if experiment["terminal"] else None

        name = (
            httpx.post(f"{self.url}/experiments", json=BODY, timeout=20)
            .raise_for_status()
            .json()["id"]
        )
        return str(wait_until(final_status, 90))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
