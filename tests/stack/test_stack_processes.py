"""The process tree of `up`: one process killed, all killed, a second tree on the same home."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.ports import free_port
from tests.stack.process_tree import ROOT, Tree
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("stack_processes")


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
