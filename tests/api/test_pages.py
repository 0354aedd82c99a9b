"""The rendered web pages: content, accessibility, no inline scripts or external links."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from engine.experiments.registry import kinds
from storage.database.tables import RunRow
from tests.api.api_server import ApiServer
from tests.api.page_reader import PageReader
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz

HTML = {"Accept": "text/html"}
LABELLED = {"input", "select", "textarea"}


class Texts(HTMLParser):
    """The texts inside the elements of one tag, by element id."""

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
    """Two succeeded experiments, a failed one and a queued one."""
    bodies: list[dict[str, Any]] = [
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
        "/uploads",
        "/data",
        "/data/digits",
        "/compare",
        f"/compare?id={made[0]}&id={made[1]}",
        *(f"/view/{one}" for one in made),
        "/view/exp_none",
    ]


def read(api_server: ApiServer, path: str) -> str:
    response = api_server.http.get(path, headers=HTML)
    assert response.headers["content-type"].startswith("text/html"), path
    return response.text


def test_every_page_is_accessible(api_server: ApiServer, pages: list[str]) -> None:
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


def test_no_page_has_inline_scripts_or_external_links(
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


def test_the_list_is_filtered(api_server: ApiServer, made: list[str]) -> None:
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
    assert "Test accuracy (%): B and A are not told apart (difference +0," in text
    assert f"/compare?id={made[1]}&amp;id={made[0]}" in text, "A and B are swapped"


def test_a_failed_experiment_shows_its_reason_and_a_retry_button(
    api_server: ApiServer, made: list[str]
) -> None:
    text = read(api_server, f"/view/{made[2]}")
    assert "out_of_memory: too large" in text
    assert 'data-action="retry"' in text
    assert "third &lt;b&gt;" in text


def test_without_a_result_no_empty_table_or_plot_is_shown(
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


def test_the_page_s_command_submits_the_experiment_again(
    api_server: ApiServer, made: list[str]
) -> None:
    texts = Texts(read(api_server, f"/view/{made[3]}"), "pre")
    *command, body = shlex.split(texts.found["as-curl"])
    assert command[:3] == ["curl", "-s", f"{api_server.http.base_url}/experiments"]
    assert api_server.http.post("/experiments", content=body.encode()).json()["id"] == made[3]
    namespace: dict[str, object] = {}
    exec(texts.found["as-python"].partition("with Client")[0], namespace)
    assert namespace["body"] == json.loads(body)
    assert list(json.loads(body)) == ["spec", "seeds", "name", "keep"]


def test_a_comparison_offers_experiments_of_the_same_kind_first(
    api_server: ApiServer, made: list[str]
) -> None:
    api_server.submit({"spec": {"kind": "lws", "epochs": 6}})
    for one, kind in ((made[0], "Training"), (made[3], "Layer-wise sparse SGD")):
        assert (
            PageReader(read(api_server, f"/compare?id={one}")).all("optgroup")[0]["label"] == kind
        )


def test_the_submission_form_is_filled_from_an_earlier_experiment(
    api_server: ApiServer, made: list[str]
) -> None:
    chosen = next(
        one
        for one in PageReader(read(api_server, f"/submit?from={made[0]}")).all("option")
        if "from:" in str(one["value"])
    )
    response = api_server.http.post("/experiments", content=str(chosen["data-body"]).encode())
    assert response.json()["id"] == made[0]


def test_the_queue_is_shown_in_claim_order(api_server: ApiServer, made: list[str]) -> None:
    urgent = api_server.submit(
        {"spec": {"kind": "train", "epochs": 9}, "priority": 9, "name": "urgent"}
    )["id"]
    text = read(api_server, "/machines")
    assert text.index(f"/view/{urgent}") < text.index(f"/view/{made[3]}")


def test_queued_runs_of_a_large_sweep_share_a_row(api_server: ApiServer) -> None:
    sweep = {"model.width": [2, 3, 4, 5, 6]}
    body = {"spec": {"kind": "train", "epochs": 9}, "sweep": sweep, "priority": 8, "seeds": [7]}
    large = api_server.submit({**body, "name": "large"})["id"]
    body["sweep"] = {"model.width": [2, 3, 4]}
    small = api_server.submit({**body, "name": "small"})["id"]
    text = read(api_server, "/machines")
    links = [
        str(one["href"])
        for one in PageReader(text).all("a")
        if str(one.get("id", "")).startswith("run-")
    ]
    assert [links.count(f"/view/{one}") for one in (large, small)] == [1, 3]
    assert "<summary>5 runs</summary>" in text
    (begun, *_) = api_server.http.get(f"/experiments/{large}/runs").json()["items"]
    with api_server.db.write() as session:
        row = session.get_one(RunRow, begun["id"])
        row.progress_completed, row.progress_total = 2.0, 9.0
    text = read(api_server, "/machines")
    assert "<summary>4 runs</summary>" in text
    assert f'aria-label="Progress of run {begun["id"]}"' in text


def test_a_row_of_the_result_leads_to_the_runs_of_its_point(api_server: ApiServer) -> None:
    spec = {"kind": "train", "epochs": 3}
    made = api_server.submit({"spec": spec, "sweep": {"model.width": [6, 7]}, "seeds": [3]})["id"]
    api_server.finish_all_runs(made)
    page = PageReader(read(api_server, f"/view/{made}"))
    links = [page.with_id(f"runs-of-{index}") for index in (0, 1)]
    assert [one["aria-label"] for one in links] == ["Runs of width 6", "Runs of width 7"]
    assert links[1]["href"] == "?point=1#runs"
    (run,) = [
        one["id"]
        for one in api_server.get(f"/experiments/{made}/runs")["items"]
        if one["point"]["index"] == 1
    ]
    text = read(api_server, f"/view/{made}?point=1")
    shown = [one for one in PageReader(text).ids if one.startswith("run-run_")]
    assert shown == [f"run-{run}"]
    assert "Runs of width 7." in text


def test_which_plots_a_page_shows_is_known_without_reading_a_result(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api_server.submit({"spec": {"kind": "reinit_sweep", "epochs": 3}})["id"]
    layered = api_server.submit({"spec": {"kind": "reinit_sweep", "modes": ["layer"]}})["id"]
    monkeypatch.setattr("storage.results.stored_results.finished_points", pytest.fail)
    shown = [
        'data-plot="layer_robustness"' in read(api_server, f"/view/{one}")
        for one in (made, layered)
    ]
    assert shown == [False, True]


def test_uploads_are_listed_with_a_control_that_deletes_each(api_server: ApiServer) -> None:
    assert PageReader(read(api_server, "/uploads")).all("button") == []
    sent: dict[str, Any] = {"params": {"name": "mine", "title": "a <b> set"}}
    api_server.http.post("/datasets", content=make_npz(), **sent).raise_for_status()
    weights = make_checkpoint(CHECKPOINT_SHAPES, "F16")
    checkpoint = api_server.http.post("/checkpoints", content=weights).json()["id"]
    text = read(api_server, "/uploads")
    assert "a &lt;b&gt; set" in text
    assert "1 × 4 × 4" in text
    assert "float16" in text
    paths = [str(button["data-path"]) for button in PageReader(text).all("button")]
    assert paths == ["/datasets/mine", f"/checkpoints/{checkpoint}"]
    for path in paths:
        api_server.http.delete(path).raise_for_status()
    assert PageReader(read(api_server, "/uploads")).all("button") == []


def test_an_error_is_a_page_for_a_browser_and_json_for_a_program(
    api_server: ApiServer,
) -> None:
    response = api_server.http.get("/view/exp_none", headers=HTML)
    assert response.status_code == 404
    assert "there is no experiment" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert (
        api_server.http.get("/view/exp_none").headers["content-type"] == "application/problem+json"
    )


def test_a_link_returns_metrics_as_csv(api_server: ApiServer, made: list[str]) -> None:
    path = f"/experiments/{made[0]}/metrics"
    by_link: httpx.Response = api_server.http.get(path, params={"format": "csv"})
    assert by_link.text == api_server.http.get(path, headers={"Accept": "text/csv"}).text
    assert by_link.text.startswith("point,seed,name,step,value\n")


def test_swagger_and_the_pages_load_nothing_external(api_server: ApiServer) -> None:
    experiment = api_server.submit({"spec": {"kind": "train"}, "name": "<script>alert(1)</script>"})
    for path in ("/docs", "/", f"/view/{experiment['id']}"):
        text = api_server.http.get(path).text
        assert 'src="http' not in text
        assert 'href="http' not in text
        assert "//cdn" not in text
        assert "<script>alert" not in text
    for path in (
        "/assets/page.css",
        "/assets/submit.js",
        "/assets/experiment.js",
        "/plotly.min.js",
    ):
        assert api_server.http.get(path).status_code == 200


def test_the_page_shows_an_experiment_s_result(api_server: ApiServer) -> None:
    experiment = api_server.submit(
        {"spec": {"kind": "train"}, "sweep": {"model.width": [7]}, "seeds": [0, 1], "name": "shown"}
    )
    assert "shown" in api_server.http.get("/").text
    api_server.finish_all_runs(experiment["id"])
    text = api_server.http.get(f"/view/{experiment['id']}").text
    assert "Test accuracy: 90.50 % (95 % interval 84.15 to 96.85, n = 2)." in text, (
        "0.90 and 0.91: a standard error of 0.5 points, and t = 12.706"
    )
    assert '<td class="number" data-value="0.905">90.50 ± 0.50</td>' in text
    assert ">7</a></th>" in text
    assert "learning_curve.svg" in text
    best = api_server.http.get(f"/view/{experiment['id']}?at=best").text
    assert "chosen on the test data: such values are optimistic" in best
    assert f'href="/experiments/{experiment["id"]}/result.tex?at=best"' in best


def test_a_training_at_chance_is_told_in_the_header_the_result_and_the_findings(
    api_server: ApiServer,
) -> None:
    body = {"spec": {"kind": "train"}, "sweep": {"model.width": [8, 9]}, "name": "told"}
    made = api_server.submit(body)["id"]
    claimed = api_server.claim_run(made)
    assert claimed is not None
    api_server.finish_run(claimed)
    api_server.finish_all_runs(made, outcome="at_chance")
    text = api_server.http.get(f"/view/{made}").text
    mark = '<span class="outcome at_chance">at chance</span>'
    for page in (text, api_server.http.get("/?q=told").text):
        assert f'{mark} <span class="soft">1 of 2 points</span>' in page
    assert api_server.get(f"/experiments/{made}")["outcomes"] == {"trained": 1, "at_chance": 1}
    assert f'<td data-value="at_chance">{mark}</td>' in text
    assert "1 of 2 points at chance (width 9): some seed&#39;s trained net" in text


def test_the_first_page_says_what_this_is_with_a_picture_of_each_kind(
    api_server: ApiServer,
) -> None:
    first = api_server.http.get("/", headers=HTML).text
    about = first[first.index('id="about"') : first.index("</details>")]
    for name, kind in kinds().items():
        assert kind.question in about
        assert f'href="/submit?kind={name}"' in about
        picture = api_server.http.get(f"/assets/kinds/{name}.png")
        assert picture.content.startswith(b"\x89PNG")
    for path in ("/submit?preset=fig2&amp;scale=quick", "/data", "/guide/your-own-nets", "/guide"):
        assert f'href="{path}"' in about
        found = api_server.http.get(path.replace("&amp;", "&"), follow_redirects=True)
        assert found.status_code == 200, path
    filtered = api_server.http.get("/?kind=train", headers=HTML).text
    assert 'id="about"' not in filtered


def test_every_page_has_an_icon_of_the_service_itself(api_server: ApiServer) -> None:
    for path in ("/", "/submit", "/docs", "/guide", "/login"):
        page = api_server.http.get(path, headers=HTML, follow_redirects=True).text
        assert 'rel="icon" type="image/svg+xml" href="/assets/favicon.svg"' in page
    assert api_server.http.get("/assets/favicon.svg").status_code == 200
