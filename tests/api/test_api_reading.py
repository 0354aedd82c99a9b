"""What is read: lists, changes, metrics, results, plots, files, exports."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from typing import Any

import pytest

from api.routes.metrics import Metrics
from storage.experiments.find import get_experiment
from tests.api.desk import Desk

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def finished(desk: Desk) -> str:
    """An experiment of two points and two seeds that has succeeded."""
    body = {
        "spec": {"kind": "train", "epochs": 3},
        "sweep": {"model.width": [10, 20]},
        "seeds": [0, 1],
    }
    experiment_id = str(desk.submit({**body, "name": "read me", "labels": {"paper": "fig4"}})["id"])
    desk.work(experiment_id)
    return experiment_id


@pytest.fixture(scope="module")
def waiting(desk: Desk) -> str:
    return str(desk.submit({"spec": {"kind": "train", "epochs": 9}, "reuse": False})["id"])


def test_pages_meet_without_gap_or_double(desk: Desk) -> None:
    made = [
        desk.submit({"spec": {"kind": "train"}, "labels": {"l": "pages"}, "reuse": False})["id"]
        for _ in range(5)
    ]
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "label": "l:pages", **({"cursor": cursor} if cursor else {})}
        page = desk.get("/experiments", **params)
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_lists_are_filtered(desk: Desk, finished: str, waiting: str) -> None:
    def ids(**params: str) -> list[str]:
        return [one["id"] for one in desk.get("/experiments", limit=200, **params)["items"]]

    assert ids(name="read me") == [finished]
    assert ids(label="paper:fig4") == ids(label="paper") == [finished]
    assert ids(label="paper:fig5") == []
    assert finished in ids(status="succeeded")
    assert waiting not in ids(status="succeeded")
    assert ids(kind="lws") == []


def test_name_labels_and_priority_change_and_what_is_not_named_stays(
    desk: Desk, waiting: str
) -> None:
    url = f"/experiments/{waiting}"
    desk.http.patch(url, json={"name": "n", "labels": {"a": "b"}, "priority": 3})
    found = desk.http.patch(url, json={"name": None}).json()
    assert (found["name"], found["labels"], found["priority"]) == (None, {"a": "b"}, 3)


def test_an_experiment_is_deleted_only_when_it_is_over(desk: Desk) -> None:
    experiment_id = desk.submit({"spec": {"kind": "train"}, "seeds": [5], "reuse": False})["id"]
    url = f"/experiments/{experiment_id}"
    assert desk.http.delete(url).json()["code"] == "invalid-transition"
    run = desk.work(experiment_id)[0].run_id
    checkpoint = desk.get(f"/runs/{run}/checkpoints")["items"][0]
    told = desk.http.delete(url, params={"dry_run": True}).json()
    assert (told["deleted"], told["bytes"], told["runs"]) == (False, checkpoint["bytes"], 1)
    assert desk.http.delete(url).json()["deleted"]
    assert desk.http.get(url).status_code == 404
    assert not desk.blobs.path(checkpoint["sha256"]).exists()


def test_cancelling_keeps_what_was_computed(desk: Desk) -> None:
    body = {"spec": {"kind": "train", "model": {"name": "conv_net", "width": 4}}, "seeds": [0, 1]}
    experiment_id = desk.submit(body)["id"]
    first = desk.claim(experiment_id)
    assert first is not None
    desk.finish(first)
    url = f"/experiments/{experiment_id}"
    cancelled = desk.http.post(f"{url}/cancel").json()
    assert (cancelled["status"], cancelled["counts"]["succeeded"]) == ("cancelled", 1)
    assert desk.http.post(f"{url}/cancel").status_code == 200, "again is no error"
    assert desk.get(f"{url}/metrics")["items"]
    desk.work(experiment_id)
    assert len(desk.get(f"{url}/result")["points"]) == 1


def test_what_has_succeeded_cannot_be_cancelled(desk: Desk, finished: str) -> None:
    answer = desk.http.post(f"/experiments/{finished}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid-transition")


def test_metrics_come_by_point_seed_name_and_step(desk: Desk, finished: str) -> None:
    found = desk.get(f"/experiments/{finished}/metrics")
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


def test_metrics_are_chosen_by_name_and_thinned_out(desk: Desk, finished: str) -> None:
    url = f"/experiments/{finished}/metrics"
    found = desk.get(url, names="test_accuracy", points=2)
    assert found["sampled"]
    assert {one["name"] for one in found["items"]} == {"test_accuracy"}
    assert {one["step"] for one in found["items"]} == {0, 3}
    assert desk.get(url, names="none")["items"] == []


def test_aggregated_metrics_are_statistics_over_seeds(desk: Desk, finished: str) -> None:
    found = desk.get(f"/experiments/{finished}/metrics", aggregate=True, names="test_accuracy")
    assert [(one["point"], one["step"], one["statistic"]["n"]) for one in found["items"]] == [
        (point, step, 2) for point in (0, 1) for step in range(4)
    ]
    assert found["items"][3]["statistic"]["mean"] == 0.53


def test_csv_holds_values_only_so_that_equal_trainings_give_equal_files(
    desk: Desk, finished: str
) -> None:
    answer = desk.http.get(f"/experiments/{finished}/metrics", headers={"Accept": "text/csv"})
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["point", "seed", "name", "step", "value"]
    assert rows[1] == ["0", "0", "test_accuracy", "0", "0.5"]
    assert len(rows) == 1 + 32


def test_a_run_s_metrics_are_its_own(desk: Desk, finished: str) -> None:
    runs = desk.get(f"/experiments/{finished}/runs")["items"]
    found = desk.get(f"/runs/{runs[1]['id']}/metrics")["items"]
    assert {one["point"] for one in found} == {1}


def test_a_result_is_there_when_the_last_run_has_ended(
    desk: Desk, finished: str, waiting: str
) -> None:
    answer = desk.http.get(f"/experiments/{waiting}/result")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")
    found = desk.get(f"/experiments/{finished}/result")
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
def test_every_plot_is_drawn_and_unchanged_it_is_not_sent_again(
    desk: Desk, finished: str, ending: str, start: bytes, media_type: str
) -> None:
    for plot in desk.get(f"/experiments/{finished}/plots")["items"]:
        answer = desk.http.get(plot["links"][ending])
        assert answer.status_code == 200
        assert answer.content.startswith(start)
        assert answer.headers["content-type"].startswith(media_type)
        assert "X-Partial" not in answer.headers
        again = desk.http.get(
            plot["links"][ending], headers={"If-None-Match": answer.headers["ETag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


def test_a_plot_of_what_still_runs_says_that_it_is_partial(desk: Desk, waiting: str) -> None:
    answer = desk.http.get(f"/experiments/{waiting}/plots/accuracy_bars.png")
    assert (answer.status_code, answer.headers["X-Partial"]) == (200, "true")
    assert answer.content.startswith(PNG)


def test_a_plot_takes_sizes_within_limits(desk: Desk, finished: str) -> None:
    url = f"/experiments/{finished}/plots/learning_curve.png"
    small = desk.http.get(url, params={"width": 4, "height": 3, "dpi": 50})
    assert int.from_bytes(small.content[16:20], "big") == 200
    assert int.from_bytes(small.content[20:24], "big") == 150
    for wrong in ({"width": 500}, {"dpi": 10_000}, {"xscale": "cubic"}):
        assert desk.http.get(url, params=wrong).status_code == 422


@pytest.mark.parametrize(
    "name", ["none.png", "learning_curve.gif", "learning_curve", "..%2Fsecret.png"]
)
def test_a_plot_that_does_not_exist_is_not_found(desk: Desk, finished: str, name: str) -> None:
    assert desk.http.get(f"/experiments/{finished}/plots/{name}").status_code == 404


def test_a_file_comes_whole_or_in_part_and_is_known_by_its_digest(
    desk: Desk, finished: str
) -> None:
    run = desk.get(f"/experiments/{finished}/runs")["items"][0]
    checkpoint = desk.get(f"/runs/{run['id']}/checkpoints")["items"][0]
    assert (checkpoint["name"], checkpoint["seed"], checkpoint["epoch"]) == ("theta_T", 0, 3)
    url = checkpoint["links"]["content"]
    whole = desk.http.get(url)
    assert hashlib.sha256(whole.content).hexdigest() == checkpoint["sha256"]
    assert whole.headers["ETag"] == f'"{checkpoint["sha256"]}"'
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = desk.http.get(url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert desk.http.get(url, headers={"Range": "bytes=10000-"}).status_code == 416
    assert desk.http.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_an_export_is_whole_and_its_checksums_hold(
    desk: Desk, finished: str, tmp_path: Any
) -> None:
    answer = desk.http.get(f"/experiments/{finished}/export", params={"files": True})
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
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
    assert json.loads((tmp_path / "result.json").read_text()) == desk.get(
        f"/experiments/{finished}/result"
    )
    again = desk.http.post("/experiments", json=json.loads((tmp_path / "body.json").read_text()))
    assert again.json()["id"] == finished, "the exported body is the experiment"


def test_an_export_of_what_still_runs_says_so(desk: Desk, waiting: str) -> None:
    answer = desk.http.get(f"/experiments/{waiting}/export")
    assert answer.headers["X-Partial"] == "true"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None


def test_who_hears_of_the_end_has_the_result_at_once(desk: Desk) -> None:
    made = str(desk.submit({"spec": {"kind": "train", "epochs": 7}, "seeds": [0, 1]})["id"])
    while (claimed := desk.claim(made)) is not None:
        desk.finish(claimed)
    with desk.db.read() as session:
        assert get_experiment(session, made).summary is None  # a worker makes it moments later
    found = desk.get(f"/experiments/{made}/result")
    desk.work(made)
    assert found == desk.get(f"/experiments/{made}/result")
    assert found["points"][0]["test_accuracy"]["n"] == 2
