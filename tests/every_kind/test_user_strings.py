"""Whatever a user writes is data in every output: figures, pages, tables, archives, logs."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest

from api.experiments.metric_tables import to_csv
from engine import tables
from engine.csv_text import plain_cell
from engine.drawing.fitting import draw_plot
from engine.experiments.registry import kinds
from engine.labels import label_points
from engine.plotting import PlotOptions, save
from engine.tables import TextColumn, TextTable
from richregime import Client
from runtime.logs import LogFormat, make_formatter
from storage.results.metrics import MetricPoint
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.page_reader import PageReader
from tests.api.zip_files import pack_zip, unpack_zip

STRINGS = {
    "empty formula": "$$",
    "formula": r"$\foo$",
    "formula and accent": "$\\foo$ \u00e9",
    "escaped dollar": r"a \$ b $ c",
    "TeX": r"\input{/etc/passwd} \\ & # ^_~ {}",
    "HTML": "<script>alert(1)</script><b>&amp;",
    "spreadsheet": '=HYPERLINK("http://x","y")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "minus": "-2+3",
    "full width": "\uff1d1+1",
    "blank first": " =1+1",
    "line first": "\n=1+1",
    "lines": "a\r\nERROR forged\n",
    "tab": "\t=1+1",
    "terminal": "\x1b[31mred\x07",
    "direction": "abc\u202etxt.exe\u2066",
    "separators": "a\u2028b\u0085c\u00a0d",
    "emoji": "\U0001f642 \u4e2d\u6587 \ud55c\uad6d",
    "Arabic": "\u0645\u0631\u062d\u0628\u0627",
    "marks": "z" + "\u0301" * 150,
    "private use": "\ue000\ufdd0\U0010fffe",
    "template": "%s {0} {{7*7}} ${HOME} %(asctime)s",
    "quotes": "\"'`;-- \\",
    "underscore": "_not shown in legends",
    "long": "x" * 200,
    "Markdown": "| a | b |\n[x](javascript:alert(1)) `c`",
}
REFUSED = {"null": "a\x00b", "half a pair": "\ud800"}
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def experiment_id(server: ApiServer) -> str:
    body = {"spec": {"kind": "train"}, "sweep": {"optimizer.lr": [0.1, 0.2]}, "seeds": [0, 1]}
    submitted = str(server.submit(body)["id"])
    server.finish_all_runs(submitted)
    return submitted


@pytest.fixture(params=STRINGS)
def text(request: pytest.FixtureRequest) -> str:
    return STRINGS[request.param]


@pytest.mark.parametrize("refused", REFUSED)
def test_strings_that_no_database_stores_are_refused(
    server: ApiServer, experiment_id: str, refused: str
) -> None:
    response = rename(server, experiment_id, REFUSED[refused])
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/name"


def test_names_and_labels_are_data_in_every_response(
    server: ApiServer, experiment_id: str, text: str
) -> None:
    assert rename(server, experiment_id, text).status_code == 200
    found = server.get(f"/experiments/{experiment_id}")
    assert (found["name"], found["labels"]) == (text, {text[:100]: text[:100]})
    check_outputs(server, experiment_id)


def test_an_imported_archive_may_hold_any_string(
    server: ApiServer, experiment_id: str, text: str
) -> None:
    """The values of its points, its metrics, notes and details are the archive's author's."""
    rename(server, experiment_id, "exported")
    entries = unpack_zip(server.http.get(f"/experiments/{experiment_id}/export").content)
    bundle = json.loads(entries["bundle.json"])
    for point, name in zip(bundle["points"], ("first", "second"), strict=True):
        point["values"] = {text: {"name": text, "other": text + name}, f"{text}.x": [text]}
    for run in bundle["runs"]:
        run["detail"], run["device"] = text, text[:100]
        for result in run["result"]:
            result["notes"] = [text]
    bundle["body"]["name"] = text
    entries["bundle.json"] = json.dumps(bundle).encode()
    rows = list(csv.reader(io.StringIO(entries["metrics.csv"].decode())))
    if text.isprintable():
        rows += [[point, seed, text[:64], "0", "0.5"] for point in "01" for seed in "01"]
    entries["metrics.csv"] = write_rows(rows)
    archive = pack_zip(entries)
    response = server.http.post(
        "/import", content=archive, headers={"content-type": "application/zip"}
    )
    assert response.status_code == 201, response.text
    check_outputs(server, response.json()["id"])


def test_every_plot_shows_any_string_without_a_warning(text: str) -> None:
    plots = kinds()["train"].load_plots()
    curve = {"epoch": [0, 1], "mean": [0.5, 0.6], "standard_error": [0.1, 0.1], "n": [2, 2]}
    curves = {"test_accuracy": curve, "train_loss": curve}
    numbers = {
        "title": text,
        "points": [
            {"values": {"data.name": text + end}, "outcome": "trained", "curves": curves}
            for end in "ab"
        ],
    }
    options = PlotOptions(dpi=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_plot(plots, "learning_curve", numbers, options)
        svg = save(figure, "svg", options)
        assert save(figure, "pdf", options).startswith(b"%PDF-")
    ElementTree.fromstring(svg)  # noqa: S314 - our own file
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 2, "an underscore hides no entry"


def test_labels_of_points_are_distinct(text: str) -> None:
    labels = label_points([{"data.name": text + end} for end in "ab"])
    assert len(set(labels)) == 2


def test_no_cell_is_a_formula(text: str, tmp_path: Path) -> None:
    metric = to_csv([MetricPoint(0, 0, text, 1, -0.5)])
    table = tables.to_csv({"columns": [text], "points": [{text: text}]})
    for written in (metric, table):
        check_csv(written)
    assert plain_cell(-0.5) == -0.5
    assert metric.endswith(",-0.5\n")


def test_tables_on_pages_escape_html(text: str) -> None:
    tags = [
        [tag for tag, _ in PageReader(tables.to_html(table)).tags]
        for table in (one_cell_table(text), one_cell_table("plain"))
    ]
    assert tags[0] == tags[1]


def one_cell_table(text: str) -> TextTable:
    return TextTable(text, [TextColumn(text, text)], [[text]], [text])


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_message_is_one_line_of_the_log(log_format: LogFormat, text: str) -> None:
    formatter = make_formatter(log_format, "api")
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord(
            "test", logging.INFO, "file", 1, "name %s", (text,), sys.exc_info()
        )
    first, *traceback = formatter.format(record).split("\n")
    assert first.isprintable()
    assert all(line.startswith("  ") and line.isprintable() for line in traceback)
    if log_format is LogFormat.JSON:
        assert json.loads(first)["message"] == f"name {text}"


def rename(server: ApiServer, experiment_id: str, text: str) -> Any:
    return server.http.patch(
        f"/experiments/{experiment_id}",
        content=json.dumps({"name": text, "labels": {text[:100]: text[:100]}}),
        headers={"content-type": "application/json"},
    )


def check_outputs(server: ApiServer, experiment_id: str) -> None:
    """Plots, pages, CSV, headers, the archive with its pictures, and the client's tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = server.http.get(f"/experiments/{experiment_id}/plots/accuracy_bars.pdf")
        assert response.status_code == 200, response.text
    for page in ("/", f"/view/{experiment_id}", f"/compare?ids={experiment_id}", "/machines"):
        response = server.http.get(page, headers={"accept": "text/html"})
        assert response.status_code == 200, page
        scripts = PageReader(response.text).all("script")
        assert all(script.get("src") or script.get("type") for script in scripts), page
    response = server.http.get(f"/experiments/{experiment_id}/metrics?format=csv")
    check_csv(response.text)
    response = server.http.get(f"/experiments/{experiment_id}/export")
    assert response.headers["content-disposition"] == (
        f'attachment; filename="{experiment_id}.zip"'
    )
    entries = unpack_zip(response.content)
    assert {"bundle.json", "plots/learning_curve.svg", "SHA256SUMS"} <= entries.keys()
    assert all(name.isascii() and name.isprintable() for name in entries)
    check_csv(entries["metrics.csv"].decode())
    with Client(str(server.http.base_url)) as client, TemporaryDirectory() as folder:
        for written in client.export_tables(experiment_id, folder):
            check_csv(written.read_text(encoding="utf-8"))


def check_csv(text: str) -> None:
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not cell.lstrip(" ").startswith(FORMULA_STARTS) or is_number(cell), row


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def write_rows(rows: list[list[str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
