"""Reports: one file with the answer, verdicts, figures and the body, and nothing outside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import engine
from api.reports.content import explain_again
from api.reports.page_tables import fit_to_page
from engine.experiments.registry import parse_spec
from engine.models.spec import PluginSpec
from engine.tables import TextColumn, TextTable
from tests.api.api_server import ApiServer
from workers.execution import execute_run

HOSTILE = '<script>alert(1)</script> #eval("1") $x$ [a](http://nowhere.test) ![b](c) `d` *e*'
BODY: dict[str, Any] = {
    "spec": {
        "kind": "lws",
        "data": {"name": "digits", "train_size": 64, "test_size": 32},
        "model": {"width": 4},
        "epochs": 2,
    },
    "sweep": {"policy": [{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}]},
    "seeds": [0, 1, 2],
    "name": HOSTILE,
    "claims": [{"name": HOSTILE, "quantity": "test_accuracy", "at_least": 0.0}],
}
OTHER: dict[str, Any] = {
    "spec": {**BODY["spec"], "kind": "train", "epochs": 1},
    "seeds": [0, 1],
    "name": "other",
}


class Reader(HTMLParser):
    """Addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.headings: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.lasttag == "h3":
            self.headings.append(data.strip())


def compute(api_server: ApiServer, body: dict[str, Any]) -> str:
    made = str(api_server.submit(body)["id"])
    while (claim := api_server.claim_run(made)) is not None:
        execute_run(
            api_server.db, api_server.blobs, api_server.settings, claim, "cpu", lambda: False
        )
    return made


@pytest.fixture(scope="module")
def ended(api_server: ApiServer) -> tuple[str, str]:
    """Ids of an experiment with verdicts and of another kind."""
    return compute(api_server, BODY), compute(api_server, OTHER)


def read(api_server: ApiServer, one: str, ending: str, *also: str) -> bytes:
    response = api_server.http.get(
        f"/experiments/{one}/report.{ending}", params={"also": list(also)}
    )
    assert response.status_code == 200, response.text
    return response.content


def test_the_page_holds_everything_and_refers_to_nothing(
    api_server: ApiServer, ended: tuple[str, str]
) -> None:
    page = Reader(read(api_server, ended[0], "html").decode())
    assert page.addresses
    assert all(one.startswith("data:image/svg+xml;base64,") for one in page.addresses)
    assert page.tags & {"script", "link", "iframe", "a"} == set()
    comparison = api_server.get(f"/experiments/{ended[0]}/comparison")
    for verdict in comparison["verdicts"]:
        assert verdict["sentence"] in page.text
    for departure in comparison["departures"]:
        assert departure in page.text
    (own,) = comparison["own_verdicts"]
    assert page.text.count(own["sentence"]) == 1
    assert own["statement"] not in page.text, "the sentence says it"
    assert "Results" in page.headings
    experiment = api_server.get(f"/experiments/{ended[0]}")
    assert experiment["digest"] in page.text
    assert HOSTILE in page.text, "as text, not as markup"


def test_every_figure_that_applies_is_in_it(api_server: ApiServer, ended: tuple[str, str]) -> None:
    page = Reader(read(api_server, ended[0], "html").decode())
    plots = api_server.get(f"/experiments/{ended[0]}/plots")["items"]
    titles = [one["title"] for one in plots if one["applies"] and "csv" not in one["links"]]
    assert titles
    assert len(page.addresses) == len(titles)
    assert all(f"{title}." in page.text or f"{title}: " in page.text for title in titles)


def test_the_body_in_it_is_the_experiment(api_server: ApiServer, ended: tuple[str, str]) -> None:
    markdown = read(api_server, ended[0], "md").decode()
    lines = [line[4:] for line in markdown.splitlines() if line.startswith("    ")]
    (sweep,) = [line for line in lines if line.startswith(' "sweep": ')]
    assert '[{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}]' in sweep
    assert max(map(len, lines)) < 200, "a longer list has a line for each item"
    again = api_server.http.post("/experiments", json=json.loads("\n".join(lines)))
    assert again.json()["id"] == ended[0]
    prose = "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))
    links = re.findall(r"(?<!\\)\]\(([^)]*)\)", prose)
    assert links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)


def test_the_pdf_is_one_and_its_text_is_no_markup(
    api_server: ApiServer, ended: tuple[str, str]
) -> None:
    alone, both = (read(api_server, ended[0], "pdf", *also) for also in ((), (ended[1],)))
    for one in (alone, both):
        assert one.startswith(b"%PDF-")
        assert b"/URI" not in one
        assert b"/JavaScript" not in one
    assert len(both) > len(alone)


def test_several_experiments_stand_in_the_order_asked_for(
    api_server: ApiServer, ended: tuple[str, str]
) -> None:
    page = Reader(read(api_server, ended[1], "html", ended[0], ended[1]).decode())
    assert page.text.index("other") < page.text.index("<script>")
    assert page.text.count("What was computed, on what") == 2, "one named twice is there once"


def test_errors(api_server: ApiServer, ended: tuple[str, str]) -> None:
    waiting = str(api_server.submit(OTHER | {"seeds": [7]})["id"])
    url = f"/experiments/{waiting}/report.pdf"
    assert api_server.http.get(url).json()["code"] == "not-ready"
    assert api_server.http.get(f"/experiments/{ended[0]}/report.exe").status_code == 422
    unknown = api_server.http.get(f"/experiments/{ended[0]}/report.md", params={"also": "exp_0"})
    assert unknown.status_code == 404
    many = {"also": [f"exp_{number}" for number in range(8)]}
    too_many = api_server.http.get(f"/experiments/{ended[0]}/report.md", params=many)
    assert too_many.status_code == 422
    partial = api_server.http.get(f"/experiments/{ended[0]}/report.md", params={"also": waiting})
    assert partial.headers["X-Partial"] == "true"


def test_a_report_tells_how_the_engine_runs_it_again(
    api_server: ApiServer, ended: tuple[str, str], tmp_path: Path
) -> None:
    markdown = read(api_server, ended[1], "md").decode()
    lines = [line[4:] for line in markdown.splitlines() if line.startswith("    ")]
    (tmp_path / "body.json").write_text("\n".join(lines))
    (command,) = re.findall(r"python (-m engine run [^.]+\.json --out \w+)\.", markdown)
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "results" / "result.json").read_text())
    assert len(result["points"]) == 1


def test_a_report_names_the_plugin_that_it_needs() -> None:
    """The body has the sha256 of its file alone."""
    plain = parse_spec({"kind": "train"})
    own = plain.model_copy(update={"model": PluginSpec(name="mine", source="sha256:0f")})
    told = explain_again([own, own, plain])
    assert told.startswith("First put the plug-in of the net mine, the file whose source is ")
    assert "sha256:0f, into the folder plugins" in told
    assert told.count("First put") == 1
    assert "plug-in" not in explain_again([plain])


WIDE = TextTable(
    "Results",
    [TextColumn("", "width"), *(TextColumn("", f"number {place}") for place in range(9))],
    [[str(width), *(f"{width}.{place}" for place in range(9))] for width in range(10)],
    ["a note"],
)


def test_a_table_that_fits_stays() -> None:
    narrow = replace(WIDE, columns=WIDE.columns[:8], rows=[row[:8] for row in WIDE.rows])
    assert list(fit_to_page(narrow, 1, [""] * 10)) == [narrow]


def test_a_wide_table_of_few_points_has_a_row_for_each_number() -> None:
    (turned,) = fit_to_page(replace(WIDE, rows=WIDE.rows[:2]), 1, ["width 0", "width 1"])
    assert [column.heading for column in turned.columns] == ["", "width 0", "width 1"]
    assert turned.rows == [[f"number {place}", f"0.{place}", f"1.{place}"] for place in range(9)]
    assert (turned.title, turned.notes) == ("Results", ["a note"])


def test_a_wide_table_of_many_points_is_split_and_loses_nothing() -> None:
    found = list(fit_to_page(WIDE, 1, [""] * 10))
    assert [table.title for table in found] == ["Results, 1 of 2", "Results, 2 of 2"]
    assert [len(table.columns) for table in found] == [8, 3]
    assert [list(table.notes) for table in found] == [[], ["a note"]]
    for place, row in enumerate(WIDE.rows):
        assert [*found[0].rows[place], *found[1].rows[place][1:]] == row
        assert found[1].rows[place][0] == row[0]
