"""Tables of results and comparisons as CSV, JSON, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.api.api_server import ApiServer

NAME = r"50 % of \width & a_b [x] {y} ~^#$"
SPECIAL = (
    r"50 \% of \textbackslash{}width \& a\_b {[}x] \{y\} \textasciitilde{}\textasciicircum{}\#\$"
)
TABLES = (
    "/experiments/{one}/result",
    "/experiments/{one}/result?at=best",
    "/experiments/{one}/comparison",
    "/experiments/{one}/comparison?table=published",
    "/experiments/compare?id={one}&id={other}",
    "/experiments/compare?id={one}&id={other}&table=spec",
)


def submit(api_server: ApiServer, name: str, widths: list[int], epochs: int = 3) -> str:
    body = {
        "spec": {"kind": "train", "epochs": epochs},
        "sweep": {"model.width": widths},
        "seeds": [0, 1, 2],
        "name": name,
    }
    return str(api_server.submit(body)["id"])


@pytest.fixture(scope="module")
def ids(api_server: ApiServer) -> dict[str, str]:
    """Two finished experiments of three seeds, and a waiting one."""
    one = submit(api_server, NAME, [10, 20])
    api_server.finish_all_runs(one)
    other = submit(api_server, "=1+1", [20], 4)
    api_server.finish_all_runs(other)
    return {"one": one, "other": other, "waiting": submit(api_server, "waits", [10], 9)}


def read(api_server: ApiServer, ids: dict[str, str], address: str, ending: str) -> Any:
    path, question, query = address.format(**ids).partition("?")
    return api_server.http.get(f"{path}.{ending}{question}{query}")


def test_the_result_is_written_in_the_units_of_the_page(
    api_server: ApiServer, ids: dict[str, str]
) -> None:
    """Accuracies are 0.90, 0.91 and 0.92: a standard error of 0.01 / sqrt(3)."""
    written = read(api_server, ids, "/experiments/{one}/result", "md").text
    assert (
        written
        == r"""**50 % of \\width \& a\_b \[x\] {y} \~^\#\$**

| width | test accuracy (%) | train loss | initial test accuracy (%) | time to train (s) |
| ---: | ---: | ---: | ---: | ---: |
| 10 | 91.00 ± 0.58 | 0.2 ± 0 | 10 ± 0 | 3 ± 0 |
| 20 | 91.00 ± 0.58 | 0.2 ± 0 | 10 ± 0 | 3 ± 0 |

- Mean ± one standard error over seeds (n = 3)
"""
    )


def test_csv_has_a_row_per_point_with_every_digit(
    api_server: ApiServer, ids: dict[str, str]
) -> None:
    response = read(api_server, ids, "/experiments/{one}/result", "csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["model.width"] for row in rows] == ["10", "20"]
    stored = api_server.get(f"/experiments/{ids['one']}/result")["points"][0]["test_accuracy"]
    first = rows[0]
    assert float(first["test_accuracy"]) == stored["mean"]
    assert float(first["test_accuracy_ci95_high"]) == stored["ci95"][1]
    assert (first["test_accuracy_n"], first["seeds"], first["outcome"]) == ("3", "3", "trained")


@pytest.mark.parametrize(
    ("at", "epoch"), [("best", "3.0"), ("last", "3.0"), ("2", "2.0"), ("0", "0.0")]
)
def test_metrics_at_an_epoch_stand_in_a_table_of_their_own(
    api_server: ApiServer, ids: dict[str, str], at: str, epoch: str
) -> None:
    response = read(api_server, ids, f"/experiments/{{one}}/result?at={at}", "csv")
    row = next(csv.DictReader(io.StringIO(response.text)))
    assert (row["epoch"], row["epoch_n"]) == (epoch, "3")
    assert float(row["test_accuracy"]) == pytest.approx(0.5 + float(epoch) / 100, rel=1e-12)
    assert row.get("train_loss", "") == ("" if at == "0" else row["test_accuracy"])


def test_a_wrong_epoch_is_refused(api_server: ApiServer, ids: dict[str, str]) -> None:
    response = read(api_server, ids, "/experiments/{one}/result?at=worst", "csv")
    assert (response.status_code, len(response.json()["errors"])) == (422, 1)
    assert read(api_server, ids, "/experiments/{one}/result", "xlsx").status_code == 422


def test_without_a_result_the_answer_is_not_ready(
    api_server: ApiServer, ids: dict[str, str]
) -> None:
    for table in ("result", "comparison"):
        response = read(api_server, ids, f"/experiments/{{waiting}}/{table}", "csv")
        assert (response.status_code, response.json()["code"]) == (409, "not-ready")


def test_a_running_experiment_has_a_partial_table(api_server: ApiServer) -> None:
    running = submit(api_server, "runs", [10, 20], 8)
    claimed = api_server.claim_run(running)
    assert claimed is not None
    api_server.finish_run(claimed)
    response = api_server.http.get(f"/experiments/{running}/result.md")
    assert response.headers["x-partial"] == "true"
    assert "- Some runs have not finished\n" in response.text
    assert response.text.count("\n|") == 3


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("ending", "media_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("json", "application/json"),
        ("tex", "application/x-tex; charset=utf-8"),
        ("md", "text/markdown; charset=utf-8"),
    ],
)
def test_every_table_has_every_format_and_an_etag(
    api_server: ApiServer, ids: dict[str, str], table: str, ending: str, media_type: str
) -> None:
    response = read(api_server, ids, table, ending)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    again = api_server.http.get(response.url, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_no_cell_of_a_comparison_is_a_formula(api_server: ApiServer, ids: dict[str, str]) -> None:
    response = read(api_server, ids, "/experiments/compare?id={one}&id={other}", "csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {row["name"] for row in rows} == {NAME, "'=1+1"}
    first = next(row for row in rows if row["experiment"] == ids["other"])
    assert (first["quantity"], first["model.width"]) == ("test_accuracy", "20")
    assert (first["difference"], first["value_n"]) == ("0.0", "3")
    assert float(first["difference_ci95_low"]) < 0 < float(first["difference_ci95_high"])


def test_a_comparison_tells_which_experiment_has_which_letter(
    api_server: ApiServer, ids: dict[str, str]
) -> None:
    text = read(api_server, ids, "/experiments/compare?id={one}&id={other}", "md").text
    assert text.splitlines()[2:7] == [
        "| point | A | B | B − A |",
        "| --- | ---: | ---: | ---: |",
        r"| width 10 | 91 \[88.52, 93.48\] n=3 | – | – |",
        r"| width 20 | 91 \[88.52, 93.48\] n=3 | 91 \[88.52, 93.48\] n=3 "
        r"| +0 \[-2.267, +2.267\] |",
        "",
    ]
    assert r"- B: =1+1" in text
    spec = read(api_server, ids, "/experiments/compare?id={one}&id={other}&table=spec", "csv")
    assert "spec.epochs,3,4\n" in spec.text


def test_claims_are_written_with_their_scale_reading_and_departures(
    api_server: ApiServer, ids: dict[str, str]
) -> None:
    found = api_server.get(f"/experiments/{ids['one']}/comparison")["verdicts"]
    response = read(api_server, ids, "/experiments/{one}/comparison", "csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["found"], row["verdict"], row["scale"]) for row in rows] == [
        (one["sentence"], one["verdict"], one["scale"]) for one in found
    ]
    assert [row["departures"] for row in rows] == ["; ".join(one["departures"]) for one in found]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("table", TABLES)
def test_the_latex_compiles(
    api_server: ApiServer, ids: dict[str, str], table: str, tmp_path: Path
) -> None:
    """Debian: apt-get install texlive-latex-recommended."""
    text = read(api_server, ids, table, "tex").text
    if "comparison" not in table:
        assert SPECIAL in text
    lines = [r"\documentclass{article}\usepackage{booktabs}", r"\begin{document}", text]
    (tmp_path / "table.tex").write_text("\n".join([*lines, r"\end{document}"]))
    command = ["pdflatex", "-interaction=batchmode", "-halt-on-error", "-no-shell-escape", "table"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (tmp_path / "table.log").read_text(errors="replace")
