"""The web pages as the server renders them: what they show, whom they can be read by, what they may not hold."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser

import httpx
import pytest

from tests.api.desk import Desk

HTML = {"Accept": "text/html"}
LABELLED = {"input", "select", "textarea"}


class Reading(HTMLParser):
    """What a reader who does not see the page goes by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside_label: list[int] = []
        self._labels = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self._labels += tag == "label"
        if self._labels:
            self.inside_label.append(len(self.tags))
        self.tags.append((tag, found))
        if found.get("id") is not None:
            self.ids.append(str(found["id"]))

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def with_id(self, name: str) -> dict[str, str | None]:
        return next(found for _, found in self.tags if found.get("id") == name)


class Texts(HTMLParser):
    """What stands inside the elements of a name, by their ids."""

    def __init__(self, text: str, tag: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._tag, self._at = tag, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == self._tag:
            self._at = dict(attributes).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == self._tag:
            self._at = ""

    def handle_data(self, data: str) -> None:
        if self._at:
            self.found[self._at] = self.found.get(self._at, "") + data


@pytest.fixture(scope="module")
def made(desk: Desk) -> list[str]:
    """Two experiments that have succeeded, one that has failed, one that waits."""
    bodies = [
        {
            "spec": {"kind": "train", "epochs": 3},
            "seeds": [0, 1, 2],
            "name": "first",
            "labels": {"a": "b"},
        },
        {"spec": {"kind": "train", "epochs": 4}, "seeds": [0, 1, 2], "name": "second"},
        {"spec": {"kind": "train", "epochs": 5}, "name": "third <b>"},
        {"spec": {"kind": "lws", "epochs": 5}, "name": "fourth"},
    ]
    first = str(desk.submit(bodies[0])["id"])
    desk.work(first)
    second = str(desk.submit(bodies[1])["id"])
    desk.work(second)
    third = str(desk.submit(bodies[2])["id"])
    claimed = desk.claim(third)
    assert claimed is not None
    desk.fail(claimed)
    return [first, second, third, str(desk.submit(bodies[3])["id"])]


@pytest.fixture(scope="module")
def pages(made: list[str]) -> list[str]:
    return [
        "/",
        "/submit",
        f"/submit?from={made[0]}",
        "/machines",
        "/compare",
        f"/compare?id={made[0]}&id={made[1]}",
        *(f"/view/{one}" for one in made),
        "/view/exp_none",
    ]


def read(desk: Desk, path: str) -> str:
    answer = desk.http.get(path, headers=HTML)
    assert answer.headers["content-type"].startswith("text/html"), path
    return answer.text


def test_every_page_can_be_read_without_being_seen(desk: Desk, pages: list[str]) -> None:
    for path in pages:
        page = Reading(read(desk, path))
        assert page.all("html")[0]["lang"] == "en", path
        assert len(page.all("h1")) == len(page.all("main")) == 1, path
        assert page.all("nav")[0]["aria-label"], path
        assert len(page.ids) == len(set(page.ids)), path
        pointed = {one.get("for") for one in page.all("label")}
        for place, (tag, found) in enumerate(page.tags):
            if tag == "img":
                assert found["alt"], path
            if tag in LABELLED and found.get("type") != "hidden":
                named = (
                    found.get("aria-label")
                    or found.get("id") in pointed
                    or place in page.inside_label
                )
                assert named, (path, tag, found)
        for one in page.all("a"):
            if (one.get("href") or "").startswith("#"):
                assert str(one["href"])[1:] in page.ids, (path, one)


def test_no_page_holds_a_script_or_asks_another_machine(desk: Desk, pages: list[str]) -> None:
    for path in pages:
        page = Reading(read(desk, path))
        for attributes in page.all("script"):
            assert str(attributes["src"]).startswith("/"), path
        for _, found in page.tags:
            assert not [name for name in found if name.startswith("on")], path
            for name in ("src", "href", "action"):
                assert "//" not in (found.get(name) or ""), path


def test_what_is_filtered_out_is_not_shown(desk: Desk, made: list[str]) -> None:
    def shown(query: str) -> list[bool]:
        text = read(desk, f"/?{query}")
        return [f"/view/{one}" in text for one in made]

    assert shown("") == [True] * 4
    assert shown("q=IRS") == [True, False, False, False]
    assert shown("q=%25") == [False] * 4
    assert shown("status=failed") == [False, False, True, False]
    assert shown("kind=lws") == [False, False, False, True]
    assert shown("label=a:b") == [True, False, False, False]
    assert shown(f"q={made[3][-6:]}") == [False, False, False, True]


def test_a_comparison_shows_only_what_differs(desk: Desk, made: list[str]) -> None:
    text = read(desk, f"/compare?id={made[0]}&id={made[1]}&quantity=test_accuracy")
    assert "spec.epochs" in text
    assert "spec.batch_size" not in text
    assert "n=3" in text
    assert '+0 <span class="interval">[' in text


def test_a_failure_is_told_with_its_reason_and_what_can_be_done(
    desk: Desk, made: list[str]
) -> None:
    text = read(desk, f"/view/{made[2]}")
    assert "out_of_memory: too large" in text
    assert 'data-do="retry"' in text
    assert "third &lt;b&gt;" in text


def test_where_nothing_came_out_no_empty_table_and_no_blank_plot_is_shown(
    desk: Desk, made: list[str]
) -> None:
    text = read(desk, f"/view/{made[2]}")
    assert "No run has succeeded" in text
    grids = [Reading(read(desk, f"/view/{one}")).with_id("plot-grid") for one in (made[0], made[2])]
    assert ["hidden" in grid for grid in grids] == [False, True]
    assert "outcome</th>" not in text


def test_an_experiment_is_asked_for_again_by_the_command_that_its_page_shows(
    desk: Desk, made: list[str]
) -> None:
    texts = Texts(read(desk, f"/view/{made[3]}"), "pre")
    *command, body = shlex.split(texts.found["as-curl"])
    assert command[:3] == ["curl", "-s", f"{desk.http.base_url}/experiments"]
    assert desk.http.post("/experiments", content=body.encode()).json()["id"] == made[3]
    told: dict[str, object] = {}
    exec(texts.found["as-python"].partition("with Client")[0], told)
    assert told["body"] == json.loads(body)
    assert list(json.loads(body)) == ["spec", "seeds", "name", "keep"]


def test_experiments_of_the_same_kind_are_offered_first_for_a_comparison(
    desk: Desk, made: list[str]
) -> None:
    desk.submit({"spec": {"kind": "lws", "epochs": 6}})
    for one, kind in ((made[0], "Training"), (made[3], "Layer-wise sparse SGD")):
        assert Reading(read(desk, f"/compare?id={one}")).all("optgroup")[0]["label"] == kind


def test_the_form_is_filled_from_an_earlier_experiment(desk: Desk, made: list[str]) -> None:
    chosen = next(
        one
        for one in Reading(read(desk, f"/submit?from={made[0]}")).all("option")
        if "from:" in str(one["value"])
    )
    answer = desk.http.post("/experiments", content=str(chosen["data-body"]).encode())
    assert answer.json()["id"] == made[0]


def test_the_queue_is_shown_in_the_order_it_is_worked_on(desk: Desk, made: list[str]) -> None:
    urgent = desk.submit({"spec": {"kind": "train", "epochs": 9}, "priority": 9, "name": "urgent"})[
        "id"
    ]
    text = read(desk, "/machines")
    assert text.index(f"/view/{urgent}") < text.index(f"/view/{made[3]}")


def test_a_browser_is_told_of_an_error_in_words_and_a_program_in_json(desk: Desk) -> None:
    answer = desk.http.get("/view/exp_none", headers=HTML)
    assert answer.status_code == 404
    assert "there is no experiment" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert desk.http.get("/view/exp_none").headers["content-type"] == "application/problem+json"


def test_metrics_come_as_csv_by_a_link(desk: Desk, made: list[str]) -> None:
    path = f"/experiments/{made[0]}/metrics"
    by_link: httpx.Response = desk.http.get(path, params={"format": "csv"})
    assert by_link.text == desk.http.get(path, headers={"Accept": "text/csv"}).text
    assert by_link.text.startswith("point,seed,name,step,value\n")
