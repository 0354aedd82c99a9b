"""The commands that need an experiment that has come to its end, against a whole service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

pytestmark = [pytest.mark.xdist_group("whole_service"), pytest.mark.timeout(600)]

Invoke = Callable[..., Result]
TINY = (
    "--kind",
    "train",
    "--set",
    "epochs=2",
    "--set",
    "data.train_size=200",
    "--set",
    "data.test_size=100",
)


@pytest.fixture(scope="module")
def finished(
    invoke: Invoke, service_url: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Path]:
    """Two experiments that differ in the learning rate, watched to their end; what a delivery wrote."""
    told = tmp_path_factory.mktemp("told") / "told"
    write = f"sh -c 'echo $RICHREGIME_EXPERIMENT $RICHREGIME_STATUS > {told}'"
    ids = []
    for rate in ("0.001", "0.01"):
        done = invoke(
            *(
                "submit",
                *TINY,
                "--set",
                f"optimizer.lr={rate}",
                "--seeds",
                "0-2",
                "--name",
                f"rate {rate}",
            ),
            *("--watch", "--notify", "--notify-command", write, "--url", service_url),
        )
        assert done.exit_code == 0, done.stderr
        assert "\a" in done.stderr
        ids.append(done.stdout.strip())
    return ids[0], ids[1], told


def test_a_notice_is_given_at_the_end(finished: tuple[str, str, Path]) -> None:
    assert finished[2].read_text() == f"{finished[1]} succeeded\n"


def test_experiments_are_compared(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path]
) -> None:
    told = json.loads(invoke("compare", *finished[:2], "--json", "--url", service_url).stdout)
    assert told["spec"] == {"spec.optimizer.lr": ["0.001", "0.01"]}
    assert told["results"]["test_accuracy"]["the only point"][1]["difference"]
    shown = invoke("compare", *finished[:2], "--quantity", "train_loss", "--url", service_url)
    assert "spec.optimizer.lr" in shown.stdout
    assert (
        invoke("compare", *finished[:2], "--quantity", "nothing", "--url", service_url).exit_code
        == 2
    )


def test_plots_are_written(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path], tmp_path: Path
) -> None:
    done = invoke(
        "plot",
        finished[0],
        "learning_curve",
        "--out",
        str(tmp_path),
        "--dpi",
        "50",
        "--url",
        service_url,
    )
    assert Path(done.stdout.strip()).read_bytes().startswith(b"\x89PNG")


def test_an_export_is_imported_and_runs_again_by_its_script(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path], tmp_path: Path
) -> None:
    archive = tmp_path / "bundle.zip"
    assert invoke("export", finished[0], "--out", str(archive), "--url", service_url).exit_code == 0
    imported = json.loads(invoke("import", str(archive), "--json", "--url", service_url).stdout)
    assert imported["imported_from"] == finished[0]
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "bundle")
    through = subprocess.run(
        ["sh", "rerun.sh"],
        cwd=tmp_path / "bundle",
        env={**os.environ, "RICHREGIME_URL": service_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(through.stdout)["id"] == finished[0]
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "RICHREGIME_URL"}
    subprocess.run(
        ["sh", "rerun.sh", str(tmp_path / "again")],
        cwd=tmp_path / "bundle",
        env={**environment, "PATH": python},
        capture_output=True,
        timeout=150,
        check=True,
    )
    assert (tmp_path / "again" / "metrics.csv").read_text() == (
        tmp_path / "bundle" / "metrics.csv"
    ).read_text()
