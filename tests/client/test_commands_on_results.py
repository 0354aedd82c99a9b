"""The commands that need an ended experiment, against a whole service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from richregime import Client, InvalidArgument

pytestmark = [pytest.mark.xdist_group("whole_service"), pytest.mark.timeout(600)]

Invoke = Callable[..., Any]
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
    """Two ended experiments with different learning rates; the output of --notify-command."""
    notified = tmp_path_factory.mktemp("notified") / "output"
    write = f"sh -c 'echo $RICHREGIME_EXPERIMENT $RICHREGIME_STATUS > {notified}'"
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
    return ids[0], ids[1], notified


def test_the_notify_command_runs_at_the_end(finished: tuple[str, str, Path]) -> None:
    assert finished[2].read_text() == f"{finished[1]} succeeded\n"


def test_experiments_are_compared(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path]
) -> None:
    first, second, _ = finished
    found = json.loads(invoke("compare", first, second, "--json", "--url", service_url).stdout)
    assert found["spec"] == [
        {"path": "spec.optimizer.lr", "values": {first: 0.001, second: 0.01}},
    ]
    accuracy = found["results"][0]
    assert accuracy["quantity"] == "test_accuracy"
    assert accuracy["points"][0]["values"][second]["difference"]
    shown = invoke("compare", *finished[:2], "--quantity", "train_loss", "--url", service_url)
    assert "spec.optimizer.lr" in shown.stdout
    assert "0.01" in shown.stdout
    assert "n=3" in shown.stdout
    refused = invoke("compare", first, second, "--quantity", "nothing", "--url", service_url)
    assert refused.exit_code == 4
    assert "test_accuracy" in refused.stderr


def test_tables_are_written_as_text(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path]
) -> None:
    first, second, _ = finished
    where = ["--url", service_url]
    latex = invoke("result", first, "--format", "latex", *where).stdout
    assert latex.startswith("% \\usepackage{booktabs}\n\\begin{table*}\n"), "wider than a column"
    best = invoke("result", first, "--at", "best", *where).stdout
    assert "| epoch | test accuracy (%) | train loss |\n" in best
    claims = invoke("comparison", first, "--format", "csv", *where).stdout
    assert claims.startswith("claim,title,point,found,verdict,")
    spec = invoke("compare", first, second, "--format", "markdown", "--table", "spec", *where)
    assert "| spec.optimizer.lr | 0.001 | 0.01 |\n" in spec.stdout.replace("\\", "")
    refused = invoke("result", first, "--at", "worst", *where)
    assert refused.exit_code == 4
    with Client(service_url) as client:
        assert client.result_text(first, "latex") == latex
        with pytest.raises(InvalidArgument, match="csv, latex, markdown"):
            client.result_text(first, "xlsx")  # type: ignore[arg-type]


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
    options = ["--width", "column", "--title", "none", "--dpi", "100", "--out", str(tmp_path)]
    done = invoke("plot", finished[0], "learning_curve", *options, "--url", service_url)
    column = Path(done.stdout.strip()).read_bytes()
    assert int.from_bytes(column[16:20], "big") == 325
    refused = invoke("plot", finished[0], "--width", "page", "--url", service_url)
    assert refused.exit_code == 4
    assert "column, text, slide" in refused.stderr


def test_plots_are_written_of_a_chosen_number_and_of_chosen_points(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path], tmp_path: Path
) -> None:
    where = ["--format", "json", "--out", str(tmp_path), "--url", service_url]
    with Client(service_url) as client:
        plots = client.plots(finished[0])
    invoke("plot", finished[0], *where)
    drawn = {path.name.split("-")[-1].removesuffix(".json") for path in tmp_path.glob("*.json")}
    assert drawn == {one.name for one in plots if one.applies}
    chosen = invoke("plot", finished[0], "learning_curve", "--points", "0", *where)
    numbers = json.loads(Path(chosen.stdout.strip()).read_text())
    assert len(numbers["points"]) == 1
    refused = invoke("plot", finished[0], "learning_curve", "--points", "middle", *where)
    assert refused.exit_code == 4
    assert "best, worst, spread" in refused.stderr


def test_an_export_is_imported_and_its_script_reruns_it(
    invoke: Invoke, service_url: str, finished: tuple[str, str, Path], tmp_path: Path
) -> None:
    bundle_file = tmp_path / "bundle.zip"
    assert (
        invoke("export", finished[0], "--out", str(bundle_file), "--url", service_url).exit_code
        == 0
    )
    imported = json.loads(invoke("import", str(bundle_file), "--json", "--url", service_url).stdout)
    assert imported["imported_from"] == finished[0]
    with zipfile.ZipFile(bundle_file) as opened:
        opened.extractall(tmp_path / "bundle")
    resubmitted = subprocess.run(
        ["sh", "rerun.sh"],
        cwd=tmp_path / "bundle",
        env={**os.environ, "RICHREGIME_URL": service_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(resubmitted.stdout)["id"] == finished[0]
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
