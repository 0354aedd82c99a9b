"""Reading experiments: lists, updates, metrics, results, plots, files, exports."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from typing import Any

import pytest

from schemas.metrics import Metrics
from storage.experiments.find import get_experiment
from storage.results.stored_results import StoredPlotInput
from tests.api.api_server import ApiServer

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def finished(api_server: ApiServer) -> str:
    """A succeeded experiment of two points and two seeds."""
    body = {
        "spec": {"kind": "train", "epochs": 3},
        "sweep": {"model.width": [10, 20]},
        "seeds": [0, 1],
    }
    experiment_id = str(
        api_server.submit({**body, "name": "read me", "labels": {"paper": "fig4"}})["id"]
    )
    api_server.finish_all_runs(experiment_id)
    return experiment_id


@pytest.fixture(scope="module")
def waiting(api_server: ApiServer) -> str:
    return str(api_server.submit({"spec": {"kind": "train", "epochs": 9}, "reuse": False})["id"])


def test_pages_have_no_gaps_or_repeats(api_server: ApiServer) -> None:
    made = [
        api_server.submit({"spec": {"kind": "train"}, "labels": {"l": "pages"}, "reuse": False})[
            "id"
        ]
        for _ in range(5)
    ]
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "label": "l:pages", **({"cursor": cursor} if cursor else {})}
        page = api_server.get("/experiments", **params)
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_lists_are_filtered(api_server: ApiServer, finished: str, waiting: str) -> None:
    def ids(**params: str) -> list[str]:
        return [one["id"] for one in api_server.get("/experiments", limit=200, **params)["items"]]

    assert ids(name="read me") == [finished]
    assert ids(label="paper:fig4") == ids(label="paper") == [finished]
    assert ids(label="paper:fig5") == []
    assert finished in ids(status="succeeded")
    assert waiting not in ids(status="succeeded")
    assert ids(kind="lws") == []


def test_an_update_changes_only_the_named_fields(api_server: ApiServer, waiting: str) -> None:
    url = f"/experiments/{waiting}"
    api_server.http.patch(url, json={"name": "n", "labels": {"a": "b"}, "priority": 3})
    found = api_server.http.patch(url, json={"name": None}).json()
    assert (found["name"], found["labels"], found["priority"]) == (None, {"a": "b"}, 3)


def test_only_a_terminal_experiment_can_be_deleted(api_server: ApiServer) -> None:
    experiment_id = api_server.submit({"spec": {"kind": "train"}, "seeds": [5], "reuse": False})[
        "id"
    ]
    url = f"/experiments/{experiment_id}"
    assert api_server.http.delete(url).json()["code"] == "invalid-transition"
    run = api_server.finish_all_runs(experiment_id)[0].run_id
    checkpoint = api_server.get(f"/runs/{run}/checkpoints")["items"][0]
    deletion = api_server.http.delete(url, params={"dry_run": True}).json()
    assert (deletion["deleted"], deletion["bytes"], deletion["runs"]) == (
        False,
        checkpoint["bytes"],
        1,
    )
    assert api_server.http.delete(url).json()["deleted"]
    assert api_server.http.get(url).status_code == 404
    assert not api_server.blobs.path(checkpoint["sha256"]).exists()


def test_cancelling_keeps_partial_results(api_server: ApiServer) -> None:
    body = {"spec": {"kind": "train", "model": {"name": "conv_net", "width": 4}}, "seeds": [0, 1]}
    experiment_id = api_server.submit(body)["id"]
    first = api_server.claim_run(experiment_id)
    assert first is not None
    api_server.finish_run(first)
    url = f"/experiments/{experiment_id}"
    cancelled = api_server.http.post(f"{url}/cancel").json()
    assert (cancelled["status"], cancelled["counts"]["succeeded"]) == ("cancelled", 1)
    assert api_server.http.post(f"{url}/cancel").status_code == 200, "again is no error"
    assert api_server.get(f"{url}/metrics")["items"]
    api_server.finish_all_runs(experiment_id)
    assert len(api_server.get(f"{url}/result")["points"]) == 1


def test_a_succeeded_experiment_cannot_be_cancelled(api_server: ApiServer, finished: str) -> None:
    response = api_server.http.post(f"/experiments/{finished}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "invalid-transition")


def test_metrics_are_ordered_by_point_seed_name_and_step(
    api_server: ApiServer, finished: str
) -> None:
    found = api_server.get(f"/experiments/{finished}/metrics")
    assert Metrics.model_validate(found).model_dump(mode="json") == found, (
        "it has the spec that is described"
    )
    assert len(found["items"]) == 2 * 2 * 2 * 4
    assert not found["sampled"]
    keys = [(one["point"], one["seed"], one["name"], one["step"]) for one in found["items"]]
    assert keys == sorted(keys)
    loss = [
        one["value"] for one in found["items"] if one["name"] == "train_loss" and one["step"] == 0
    ]
    assert loss == [None] * 4, "what was not finite is null"


def test_metrics_are_filtered_by_name_and_sampled(api_server: ApiServer, finished: str) -> None:
    url = f"/experiments/{finished}/metrics"
    found = api_server.get(url, names="test_accuracy", points=2)
    assert found["sampled"]
    assert {one["name"] for one in found["items"]} == {"test_accuracy"}
    assert {one["step"] for one in found["items"]} == {0, 3}
    assert api_server.get(url, names="none")["items"] == []


def test_aggregated_metrics_are_statistics_over_seeds(api_server: ApiServer, finished: str) -> None:
    found = api_server.get(
        f"/experiments/{finished}/metrics", aggregate=True, names="test_accuracy"
    )
    assert [(one["point"], one["step"], one["statistic"]["n"]) for one in found["items"]] == [
        (point, step, 2) for point in (0, 1) for step in range(4)
    ]
    assert found["items"][3]["statistic"]["mean"] == 0.53


def test_equal_trainings_give_equal_csv(api_server: ApiServer, finished: str) -> None:
    response = api_server.http.get(
        f"/experiments/{finished}/metrics", headers={"Accept": "text/csv"}
    )
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["point", "seed", "name", "step", "value"]
    assert rows[1] == ["0", "0", "test_accuracy", "0", "0.5"]
    assert len(rows) == 1 + 32


def test_a_run_s_metrics_are_only_its_own(api_server: ApiServer, finished: str) -> None:
    runs = api_server.get(f"/experiments/{finished}/runs")["items"]
    found = api_server.get(f"/runs/{runs[1]['id']}/metrics")["items"]
    assert {one["point"] for one in found} == {1}


def test_a_result_is_ready_when_the_last_run_has_ended(
    api_server: ApiServer, finished: str, waiting: str
) -> None:
    response = api_server.http.get(f"/experiments/{waiting}/result")
    assert (response.status_code, response.json()["code"]) == (409, "not-ready")
    found = api_server.get(f"/experiments/{finished}/result")
    assert (found["kind"], found["seeds"], found["reused"]) == ("train", 2, [])
    assert [point["point"] for point in found["points"]] == [
        {"model.width": 10},
        {"model.width": 20},
    ]
    assert set(found["points"][0]["test_accuracy"]) == {"mean", "standard_error", "ci95", "n"}


@pytest.mark.parametrize(
    ("ending", "start", "media_type"),
    [
        ("png", PNG, "image/png"),
        ("svg", b"<?xml", "image/svg+xml"),
        ("pdf", b"%PDF", "application/pdf"),
        ("json", b"{", "application/json"),
    ],
)
def test_every_plot_is_drawn_and_an_unchanged_one_is_304(
    api_server: ApiServer, finished: str, ending: str, start: bytes, media_type: str
) -> None:
    plots = api_server.get(f"/experiments/{finished}/plots")["items"]
    for plot in (one for one in plots if one["applies"]):
        response = api_server.http.get(plot["links"][ending])
        assert response.status_code == 200
        assert response.content.startswith(start)
        assert response.headers["content-type"].startswith(media_type)
        assert "X-Partial" not in response.headers
        again = api_server.http.get(
            plot["links"][ending], headers={"If-None-Match": response.headers["ETag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


def test_a_plot_of_a_running_experiment_is_marked_partial(
    api_server: ApiServer, waiting: str
) -> None:
    response = api_server.http.get(f"/experiments/{waiting}/plots/accuracy_bars.png")
    assert (response.status_code, response.headers["X-Partial"]) == (200, "true")
    assert response.content.startswith(PNG)


def test_a_plot_takes_sizes_within_limits(api_server: ApiServer, finished: str) -> None:
    url = f"/experiments/{finished}/plots/learning_curve.png"
    small = api_server.http.get(url, params={"width": 4, "height": 3, "dpi": 50})
    assert int.from_bytes(small.content[16:20], "big") == 200
    assert int.from_bytes(small.content[20:24], "big") == 150
    for wrong in ({"width": 500}, {"dpi": 10_000}, {"xscale": "cubic"}):
        assert api_server.http.get(url, params=wrong).status_code == 422


def test_a_plot_takes_the_widths_of_papers_and_leaves_out_its_title(
    api_server: ApiServer, finished: str
) -> None:
    url = f"/experiments/{finished}/plots/learning_curve"
    for name, inches in (("column", 3.25), ("text", 6.75), ("slide", 10)):
        drawn = api_server.http.get(f"{url}.png", params={"width": name, "dpi": 100})
        assert int.from_bytes(drawn.content[16:20], "big") == 100 * inches
    shown, none = (
        api_server.http.get(f"{url}.svg", params={"width": "column", "title": title})
        for title in ("shown", "none")
    )
    assert shown.headers["ETag"] != none.headers["ETag"]
    assert shown.text.count("<text") > none.text.count("<text")
    for wrong in ({"width": "page"}, {"width": 1}, {"title": "short"}):
        refused = api_server.http.get(f"{url}.png", params=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    refused = api_server.http.get(f"{url}.png", params={"width": "page"}).json()
    assert refused["errors"] == [
        {
            "pointer": "#/query/width",
            "code": "value_error",
            "detail": "give inches from 2 to 20, or one of column, text, slide",
        }
    ]


def test_a_plot_says_whether_it_applies_and_what_it_can_show(
    api_server: ApiServer, finished: str
) -> None:
    plots = {one["name"]: one for one in api_server.get(f"/experiments/{finished}/plots")["items"]}
    assert plots["learning_curve"]["applies"]
    assert plots["learning_curve"]["shows"] == "points"
    assert plots["learning_curve"]["quantities"] == []
    shown = plots["sweep_quantity"]
    assert (shown["applies"], shown["reason"], shown["shows"]) == (True, None, "sweep")
    names = [one["name"] for one in shown["quantities"]]
    assert names == ["test_accuracy", "train_loss", "initial_test_accuracy", "train_seconds"]
    absent = plots["sweep_map"]
    assert (absent["applies"], absent["links"]) == (False, {})
    assert absent["reason"] == "it needs two swept fields, and the experiment has 1"
    refused = api_server.http.get(f"/experiments/{finished}/plots/sweep_map.png")
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    assert absent["reason"] in refused.json()["detail"]


@pytest.mark.parametrize("name", ["test_accuracy", "train_loss"])
def test_a_plot_of_the_sweep_shows_a_quantity_of_the_result(
    api_server: ApiServer, finished: str, name: str
) -> None:
    url = f"/experiments/{finished}/plots/sweep_quantity.json?quantity={name}"
    numbers = api_server.http.get(url).json()
    points = api_server.get(f"/experiments/{finished}/result")["points"]
    assert numbers["quantity"]["name"] == name
    assert [{key: one[key] for key in points[0][name]} for one in numbers["points"]] == [
        point[name] for point in points
    ]


def test_the_stored_result_is_what_the_runs_give(api_server: ApiServer, finished: str) -> None:
    source = StoredPlotInput(api_server.db, api_server.blobs, finished)
    assert list(source.summary) == list(source.summarize())
    whole, (second,) = source.points, source.choose([1]).points
    assert second == whole[1]
    assert list(source.choose([1]).summary) == list(source.summary)[1:]


def test_points_of_a_plot_are_chosen_by_index_or_value(
    api_server: ApiServer, finished: str
) -> None:
    url = f"/experiments/{finished}/plots/learning_curve"
    everything = api_server.http.get(f"{url}.json").json()["points"]
    second = api_server.http.get(f"{url}.json?points=1").json()
    assert second["points"] == everything[1:2]
    assert second["num_points"] == len(everything) == 2
    best = api_server.http.get(f"{url}.json?points=best&quantity=train_loss").json()
    assert best["chosen"] == "the best by train loss"
    pictures = [api_server.http.get(f"{url}.png{end}").content for end in ("", "?points=1")]
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize(
    ("plot", "query", "pointer", "detail"),
    [
        ("sweep_quantity", "quantity=beauty", "#/query/quantity", "known: test_accuracy, train"),
        ("sweep_quantity", "quantity=train_los", "#/query/quantity", "did you mean `train_loss`?"),
        ("learning_curve", "points=median", "#/query/points", "best, worst, spread"),
        ("learning_curve", "points=0,2", "#/query/points", "from 0 to 1"),
        ("sweep_quantity", "points=best", "#/query/points", "shows all points"),
    ],
)
def test_an_unknown_quantity_or_point_is_an_error_with_what_is_allowed(
    api_server: ApiServer, finished: str, plot: str, query: str, pointer: str, detail: str
) -> None:
    refused = api_server.http.get(f"/experiments/{finished}/plots/{plot}.json?{query}")
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]


@pytest.mark.parametrize(
    "name", ["none.png", "learning_curve.gif", "learning_curve", "..%2Fsecret.png"]
)
def test_an_unknown_plot_is_not_found(api_server: ApiServer, finished: str, name: str) -> None:
    assert api_server.http.get(f"/experiments/{finished}/plots/{name}").status_code == 404


def test_a_file_supports_ranges_and_has_its_digest_as_etag(
    api_server: ApiServer, finished: str
) -> None:
    run = api_server.get(f"/experiments/{finished}/runs")["items"][0]
    checkpoint = api_server.get(f"/runs/{run['id']}/checkpoints")["items"][0]
    assert (checkpoint["name"], checkpoint["seed"], checkpoint["epoch"]) == ("theta_T", 0, 3)
    url = checkpoint["links"]["content"]
    whole = api_server.http.get(url)
    assert hashlib.sha256(whole.content).hexdigest() == checkpoint["sha256"]
    assert whole.headers["ETag"] == f'"{checkpoint["sha256"]}"'
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = api_server.http.get(url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert api_server.http.get(url, headers={"Range": "bytes=10000-"}).status_code == 416
    assert (
        api_server.http.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code
        == 304
    )


def test_an_export_is_complete_and_its_checksums_match(
    api_server: ApiServer, finished: str, tmp_path: Any
) -> None:
    response = api_server.http.get(f"/experiments/{finished}/export", params={"files": True})
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    archive.extractall(tmp_path)
    names = set(archive.namelist())
    assert names >= {
        "body.json",
        "result.json",
        "metrics.csv",
        "experiment.json",
        "rerun.sh",
        "events.jsonl",
    }
    assert {"specs/point-0000.json", "specs/point-0001.json", "plots/learning_curve.png"} <= names
    assert sum(name.startswith("manifests/") for name in names) == 2
    assert sum(name.startswith("files/") and name.endswith(".safetensors") for name in names) == 2
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "result.json").read_text()) == api_server.get(
        f"/experiments/{finished}/result"
    )
    again = api_server.http.post(
        "/experiments", json=json.loads((tmp_path / "body.json").read_text())
    )
    assert again.json()["id"] == finished, "the exported body is the experiment"


def test_an_export_of_a_running_experiment_is_marked_partial(
    api_server: ApiServer, waiting: str
) -> None:
    response = api_server.http.get(f"/experiments/{waiting}/export")
    assert response.headers["X-Partial"] == "true"
    assert zipfile.ZipFile(io.BytesIO(response.content)).testzip() is None


def test_the_result_is_ready_as_soon_as_the_experiment_is_terminal(api_server: ApiServer) -> None:
    made = str(api_server.submit({"spec": {"kind": "train", "epochs": 7}, "seeds": [0, 1]})["id"])
    while (claimed := api_server.claim_run(made)) is not None:
        api_server.finish_run(claimed)
    with api_server.db.read() as session:
        assert get_experiment(session, made).summary is None  # a worker stores it later
    found = api_server.get(f"/experiments/{made}/result")
    api_server.finish_all_runs(made)
    assert found == api_server.get(f"/experiments/{made}/result")
    assert found["points"][0]["test_accuracy"]["n"] == 2
