"""A shell shows a few lines of an object, a notebook a table without active content."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from rich.cells import cell_len

from richregime import Client
from richregime.displays import LINE, MAX_ROWS
from richregime.resource import Resource
from richregime.tables import show_statistic
from richregime.types import Result, Statistic

HOSTILE = "<script>alert(1)</script>"
SPEC = {"kind": "train", "data": {"name": "digits", "train_size": 64, "test_size": 32}, "epochs": 1}
NETS = {"model.width": [4, 6]}


class Reader(HTMLParser):
    """The cells of a table, and the tags of the whole."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def shown(service_url: str) -> dict[str, Resource]:
    """One object of each class that has a display, from a service."""
    with Client(service_url) as client:
        claims = [{"name": HOSTILE, "quantity": "test_accuracy", "at_least": 0.0}]
        made = client.submit(SPEC, sweep=NETS, seeds=[0, 1], name=HOSTILE, claims=claims)
        ended = client.wait(made.id, timeout=120)
        return {
            "experiment": ended,
            "preview": client.preview(SPEC, sweep={"epochs": [2, 3]}, seeds=[0, 1]),
            "result": client.result(made.id),
            "comparison": client.comparison(made.id),
            "dataset": next(one for one in client.datasets() if one.name == "digits"),
        }


NAMES = ["experiment", "preview", "result", "comparison", "dataset"]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_shows_at_most_three_lines(shown: dict[str, Resource], name: str) -> None:
    lines = repr(shown[name]).splitlines()
    assert 1 < len(lines) <= 3
    assert max(map(cell_len, lines)) <= LINE


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_text_and_tables_alone(shown: dict[str, Resource], name: str) -> None:
    html = shown[name]._repr_html_()
    assert html is not None
    tags = Reader(html).tags
    assert tags <= {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}


def test_names_are_escaped(shown: dict[str, Resource]) -> None:
    pages = [shown[name]._repr_html_() or "" for name in ("comparison", "experiment")]
    for html in pages:
        assert HOSTILE not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert Reader(pages[1]).rows == [["field", "values"], ["model.width", "[4, 6]"]]


def test_the_table_of_a_result_has_its_numbers(shown: dict[str, Resource]) -> None:
    result = shown["result"]
    assert isinstance(result, Result)
    heads, *rows = Reader(result._repr_html_() or "").rows
    column = heads.index("test accuracy")
    assert [row[0] for row in rows] == ["4", "6"]
    assert [row[column] for row in rows] == [
        show_statistic(point.test_accuracy) for point in result.points
    ]


def test_a_long_table_tells_how_many_rows_are_left_out(shown: dict[str, Resource]) -> None:
    result = shown["result"]
    assert isinstance(result, Result)
    long = result.model_copy(update={"points": result.points * MAX_ROWS})
    html = long._repr_html_()
    assert html is not None
    assert len(Reader(html).rows) == 1 + MAX_ROWS
    assert html.endswith(f"<p>{MAX_ROWS} more rows</p></div>")


def test_other_objects_keep_their_text() -> None:
    statistic = Statistic(mean=0.5, standard_error=None, ci95=None, n=1)
    assert repr(statistic) == "Statistic(mean=0.5, standard_error=None, ci95=None, n=1)"
    assert statistic._repr_html_() is None
