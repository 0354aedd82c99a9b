"""The quick start, the notebook and the example scripts run as written, against a service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from richregime import Client

pytestmark = [pytest.mark.xdist_group("whole_service"), pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def run_script(
    name: str, *arguments: str, url: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env={"RICHREGIME_URL": url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_quick_start_runs(service_url: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial" / "quick-start.md").read_text(encoding="utf-8")
    session = "\n".join(BLOCK.findall(text)).replace("./run ", "richregime ")
    python = Path(sys.executable).parent
    done = subprocess.run(
        ["sh", "-eux", "-c", session],
        cwd=tmp_path,
        env={**os.environ, "RICHREGIME_URL": service_url, "PATH": f"{python}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "spec.optimizer.lr" in done.stdout
    assert "nothing started" in done.stdout
    assert (tmp_path / "two-widths.zip").stat().st_size > 10_000
    assert (tmp_path / "tables" / "results.csv").is_file()
    assert list(tmp_path.glob("events/point1-*/seed0/*tfevents*"))
    (figure,) = tmp_path.glob("*-learning_curve.pdf")
    assert figure.read_bytes().startswith(b"%PDF")


def run_cells(name: str) -> dict[str, Any]:
    """Execute the code cells of a notebook in order; returns its names."""
    notebook = json.loads((ROOT / "examples" / name).read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "notebooks are stored without outputs"
    assert all(cell["execution_count"] is None for cell in cells)
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        exec(compile("".join(cell["source"]), name, "exec"), names)
    return names


def test_the_cells_of_the_quick_start_run_in_order(
    service_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RICHREGIME_URL", service_url)
    names = run_cells("quickstart.ipynb")
    assert names["experiment"].status == "succeeded"
    assert len(names["metrics"].to_pandas()) == 2 * 6
    assert names["Figure"](b"x")._repr_png_() == b"x"
    printed = capsys.readouterr().out
    assert "95 % in" in printed
    assert "succeeded 100 %, 6/6 runs" in printed or "succeeded 100 %, 2/2 runs" in printed


def test_the_cells_of_the_own_data_set_run_in_order(
    service_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RICHREGIME_URL", service_url)
    monkeypatch.chdir(tmp_path)
    names = run_cells("own_data.ipynb")
    assert names["experiment"].status == "succeeded"
    narrow, *_, wide = names["result"].points
    assert wide.test_accuracy.mean > 0.9 > narrow.test_accuracy.mean
    assert names["columns"]["n"][-1] == 3


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_the_cells_of_figure_2_run_in_order(
    service_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RICHREGIME_URL", service_url)
    monkeypatch.chdir(tmp_path)
    names = run_cells("figure_2.ipynb")
    assert [one.claim for one in names["comparison"].verdicts][:4] == [1, 2, 3, 4]
    assert names["comparison"].complete
    assert b"data:image/svg+xml" in (tmp_path / "figure-2.html").read_bytes()


def test_every_notebook_is_listed_and_run() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    run = Path(__file__).read_text(encoding="utf-8")
    found = sorted(path.name for path in (ROOT / "examples").glob("*.ipynb"))
    assert found == ["figure_2.ipynb", "own_data.ipynb", "quickstart.ipynb"]
    assert all(f"`{name}`" in listed and f'run_cells("{name}")' in run for name in found)


def test_metrics_become_arrays(service_url: str) -> None:
    with Client(service_url) as client:
        experiment = client.submit(
            {"kind": "train", "epochs": 1, "data": {"train_size": 100}}, seeds=[0]
        )
        client.wait(experiment.id, timeout=170)
        columns = client.metrics(experiment.id).to_numpy()
        assert set(columns) == {"point", "seed", "name", "step", "value"}
        assert columns["value"].dtype.kind == "f"
        one = client.metrics(experiment.id, aggregate=True).to_numpy()
        assert one["standard_error"].dtype.kind == "f", "null is NaN"
        assert client.result(experiment.id).points[0].test_accuracy.n == 1


def test_the_script_with_httpx_alone_runs(service_url: str, tmp_path: Path) -> None:
    done = run_script("with_httpx.py", url=service_url, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "experiment.finished" in done.stdout
    assert (tmp_path / "learning_curve.pdf").read_bytes().startswith(b"%PDF")


def test_check_claims_fails_if_a_claim_is_not_reproduced(service_url: str, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    spec = {
        "kind": "lws",
        "data": {"train_size": 100, "test_size": 100},
        "model": {"name": "conv_net", "width": 2, "depth": 2},
        "epochs": 1,
    }
    policies = [{"name": "full"}, {"name": "top_k", "k": 1}]
    body.write_text(json.dumps({"spec": spec, "sweep": {"policy": policies}, "seeds": [0, 1]}))
    strict = run_script("check_claims.py", str(body), url=service_url, folder=tmp_path)
    assert (strict.returncode, "inconclusive" in strict.stdout) == (1, True), strict.stderr
    lenient = run_script(
        "check_claims.py", str(body), "--allow-inconclusive", url=service_url, folder=tmp_path
    )
    assert lenient.returncode == 0, lenient.stdout
    other = run_script(
        "check_claims.py", str(body), "--claims", "4", url=service_url, folder=tmp_path
    )
    assert (other.returncode, "not measured by this experiment" in other.stdout) == (1, True)
