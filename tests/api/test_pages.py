"""The web pages as the server renders them: what they show, whom they can be read by, what they may not hold."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser

import httpx
import pytest

from tests.api.api_server import ApiServer
from tests.api.page_reader import PageReader

HTML = {"Accept": "text/html"}
LABELLED = {"input", "select", "textarea"}


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
def made(api_server: ApiServer) -> list[str]:
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
    first = str(api_server.submit(bodies[0])["id"])
    api_server.finish_all_runs(first)
    second = str(api_server.submit(bodies[1])["id"])
    api_server.finish_all_runs(second)
    third = str(api_server.submit(bodies[2])["id"])
    claimed = api_server.claim_run(third)
    assert claimed is not None
    api_server.fail_run(claimed)
    return [first, second, third, str(api_server.submit(bodies[3])["id"])]


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


def read(api_server: ApiServer, path: str) -> str:
    response = api_server.http.get(path, headers=HTML)
    assert response.headers["content-type"].startswith("text/html"), path
    return response.text


def test_every_page_can_be_read_without_being_seen(api_server: ApiServer, pages: list[str]) -> None:
    for path in pages:
        page = PageReader(read(api_server, path))
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


def test_no_page_holds_a_script_or_asks_another_machine(
    api_server: ApiServer, pages: list[str]
) -> None:
    for path in pages:
        page = PageReader(read(api_server, path))
        for attributes in page.all("script"):
            assert str(attributes["src"]).startswith("/"), path
        for _, found in page.tags:
            assert not [name for name in found if name.startswith("on")], path
            for name in ("src", "href", "action"):
                assert "//" not in (found.get(name) or ""), path


def test_what_is_filtered_out_is_not_shown(api_server: ApiServer, made: list[str]) -> None:
    def shown(query: str) -> list[bool]:
        text = read(api_server, f"/?{query}")
        return [f"/view/{one}" in text for one in made]

    assert shown("") == [True] * 4
    assert shown("q=IRS") == [True, False, False, False]
    assert shown("q=%25") == [False] * 4
    assert shown("status=failed") == [False, False, True, False]
    assert shown("kind=lws") == [False, False, False, True]
    assert shown("label=a:b") == [True, False, False, False]
    assert shown(f"q={made[3][-6:]}") == [False, False, False, True]


def test_a_comparison_shows_only_what_differs(api_server: ApiServer, made: list[str]) -> None:
    text = read(api_server, f"/compare?id={made[0]}&id={made[1]}&quantity=test_accuracy")
    assert "spec.epochs" in text
    assert "spec.batch_size" not in text
    assert "n=3" in text
    assert '+0 <span class="interval">[' in text


def test_a_failure_is_told_with_its_reason_and_what_can_be_done(
    api_server: ApiServer, made: list[str]
) -> None:
    text = read(api_server, f"/view/{made[2]}")
    assert "out_of_memory: too large" in text
    assert 'data-do="retry"' in text
    assert "third &lt;b&gt;" in text


def test_where_nothing_came_out_no_empty_table_and_no_blank_plot_is_shown(
    api_server: ApiServer, made: list[str]
) -> None:
    text = read(api_server, f"/view/{made[2]}")
    assert "No run has succeeded" in text
    grids = [
        PageReader(read(api_server, f"/view/{one}")).with_id("plot-grid")
        for one in (made[0], made[2])
    ]
    assert ["hidden" in grid for grid in grids] == [False, True]
    assert "outcome</th>" not in text


def test_an_experiment_is_asked_for_again_by_the_command_that_its_page_shows(
    api_server: ApiServer, made: list[str]
) -> None:
    texts = Texts(read(api_server, f"/view/{made[3]}"), "pre")
    *command, body = shlex.split(texts.found["as-curl"])
    assert command[:3] == ["curl", "-s", f"{api_server.http.base_url}/experiments"]
    assert api_server.http.post("/experiments", content=body.encode()).json()["id"] == made[3]
    told: dict[str, object] = {}
    exec(texts.found["as-python"].partition("with Client")[0], told)
    assert told["body"] == json.loads(body)
    assert list(json.loads(body)) == ["spec", "seeds", "name", "keep"]


def test_experiments_of_the_same_kind_are_offered_first_for_a_comparison(
    api_server: ApiServer, made: list[str]
) -> None:
    api_server.submit({"spec": {"kind": "lws", "epochs": 6}})
    for one, kind in ((made[0], "Training"), (made[3], "Layer-wise sparse SGD")):
        assert (
            PageReader(read(api_server, f"/compare?id={one}")).all("optgroup")[0]["label"] == kind
        )


def test_the_form_is_filled_from_an_earlier_experiment(
    api_server: ApiServer, made: list[str]
) -> None:
    chosen = next(
        one
        for one in PageReader(read(api_server, f"/submit?from={made[0]}")).all("option")
        if "from:" in str(one["value"])
    )
    response = api_server.http.post("/experiments", content=str(chosen["data-body"]).encode())
    assert response.json()["id"] == made[0]


def test_the_queue_is_shown_in_the_order_it_is_worked_on(
    api_server: ApiServer, made: list[str]
) -> None:
    urgent = api_server.submit(
        {"spec": {"kind": "train", "epochs": 9}, "priority": 9, "name": "urgent"}
    )["id"]
    text = read(api_server, "/machines")
    assert text.index(f"/view/{urgent}") < text.index(f"/view/{made[3]}")


def test_a_browser_is_told_of_an_error_in_words_and_a_program_in_json(
    api_server: ApiServer,
) -> None:
    response = api_server.http.get("/view/exp_none", headers=HTML)
    assert response.status_code == 404
    assert "there is no experiment" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert (
        api_server.http.get("/view/exp_none").headers["content-type"] == "application/problem+json"
    )


def test_metrics_come_as_csv_by_a_link(api_server: ApiServer, made: list[str]) -> None:
    path = f"/experiments/{made[0]}/metrics"
    by_link: httpx.Response = api_server.http.get(path, params={"format": "csv"})
    assert by_link.text == api_server.http.get(path, headers={"Accept": "text/csv"}).text
    assert by_link.text.startswith("point,seed,name,step,value\n")
