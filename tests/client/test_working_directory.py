"""Files in the working directory that are named like our packages are never imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.ports import free_port
from richregime import Client, ClientError
from richregime.enums import ExperimentStatus
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "api", "engine", "schemas", "storage", "runtime", "workers", "ops")
MODULES = ("enums", "errors", "calls", "resource", "formatting")
SPEC = {"kind": "train", "epochs": 1, "data": {"train_size": 100, "test_size": 100}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a file for each name, which records that it was imported."""
    work = tmp_path / "work"
    work.mkdir()
    for name in (*PACKAGES, *MODULES):
        record = f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + '\\n')\n"
        (work / f"{name}.py").write_text(record)
    return work


def imported_names(folder: Path) -> list[str]:
    record = folder.parent / "imported"
    return record.read_text().split() if record.exists() else []


def test_a_script_beside_such_files_uses_the_client(live_url: str, folder: Path) -> None:
    (folder / "script.py").write_text(
        f"from richregime import Client, Result\nprint(Client({live_url!r}).queue().running)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"
    assert imported_names(folder) == []


@pytest.mark.slow
def test_a_service_started_beside_such_files_computes(folder: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}
    command = ["up", "--home", str(tmp_path / "home"), "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "richregime", *command],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(url) as client:
            wait_until(lambda: is_up(client))
            experiment = client.wait(client.submit(SPEC).id, timeout=120)
        assert experiment.status == ExperimentStatus.SUCCEEDED, experiment.detail
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert imported_names(folder) == []


def is_up(client: Client) -> bool:
    try:
        return client.queue().workers_listening > 0
    except ClientError:
        return False
