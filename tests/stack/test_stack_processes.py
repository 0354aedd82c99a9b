"""The process tree of `up`: one process killed, all killed, a second tree on the same home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("stack_processes")

ROOT = Path(__file__).parents[2]
BODY = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


def ignore_interrupts() -> None:
    """Like the shell of a script for background processes; a direct interrupt must still work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)  # the usual one, by which every user can read new files


class Tree:
    """`richregime up` on a home, and all its descendants."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
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

    @staticmethod
    def environment() -> dict[str, str]:
        return {**os.environ, "RICHREGIME_CPU_WORKERS": "1", "RICHREGIME_WAKE_AFTER_SECONDS": "2"}

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


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    made = Tree(tmp_path_factory.mktemp("stack") / "home")
    yield made
    made.close()


def test_the_tree_is_broker_api_and_worker(tree: Tree) -> None:
    commands = " ".join(tree.members.values())
    assert all(word in commands for word in ("valkey", "api.app", "workers.entry"))
    wait_until(lambda: "richregime is ready" in tree.log.read_text(), 20)


def test_other_users_can_read_nothing_below_the_home(tree: Tree) -> None:
    assert tree.train() == "succeeded"
    found = {path: path.lstat().st_mode & 0o077 for path in (tree.home, *tree.home.rglob("*"))}
    for name in ("richregime.sqlite3-wal", "logs/api.log", "broker/valkey.log", "up.lock"):
        assert tree.home / name in found
    assert [path for path, mode in found.items() if mode and not path.is_socket()] == []


def test_a_second_service_on_the_same_home_is_refused(tree: Tree) -> None:
    second = subprocess.run(
        [*tree.command()[:-1], str(free_port())],
        cwd=ROOT,
        env=tree.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"already used by process {tree.process.pid} at {tree.url}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_killed_broker_is_restarted_and_runs_continue(tree: Tree) -> None:
    assert tree.train() == "succeeded"
    broker = tree.pid_of("valkey")
    os.kill(broker, signal.SIGKILL)
    wait_until(lambda: any("valkey" in c for p, c in tree.processes().items() if p != broker), 20)
    assert tree.train() == "succeeded"


def test_a_killed_api_is_restarted(tree: Tree) -> None:
    os.kill(tree.pid_of("api.app"), signal.SIGKILL)
    time.sleep(0.2)
    tree.wait_until_ready()


def test_a_killed_tree_leaves_no_process_and_can_be_restarted(tree: Tree, tmp_path: Path) -> None:
    """Runs last: it ends the shared tree."""
    tree.process.kill()
    tree.process.wait()
    wait_until(lambda: not tree.processes(), 35)
    restarted = Tree(tree.home)
    try:
        assert restarted.train() == "succeeded"
        restarted.process.send_signal(signal.SIGINT)
        assert restarted.process.wait(timeout=60) == 0, restarted.log.read_text()
        assert restarted.processes() == {}
    finally:
        restarted.close()
