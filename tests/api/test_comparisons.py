"""Comparisons with the paper and between points, and reused trainings."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest

from engine.experiments.lws.result import LwsSeedResult
from engine.result import Timings
from engine.spec import Execution
from engine.sweep import expand
from richregime import Comparison
from richregime.tables import published_table, verdicts_table
from storage.files.artifacts import register_artifact
from storage.files.trainings import register_training
from storage.runs.claim import Claim
from storage.runs.transitions import finish_run
from tests.api.api_server import ApiServer

POLICIES = [{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1}]
LWS = {
    "spec": {"kind": "lws", "model": {"name": "vgg11", "width_multiplier": 0.25}, "epochs": 2},
    "sweep": {"policy": POLICIES},
    "seeds": [0, 1, 2],
    "reuse": False,
}
ACCURACY = {0: [0.90, 0.91, 0.92], 1: [0.80, 0.82, 0.84]}
BACKWARD = {0: [10.0, 10.0, 10.0], 1: [2.0, 2.5, 3.0]}


def finish_lws(api_server: ApiServer, claimed: Claim) -> None:
    seed_results = [
        LwsSeedResult(
            seed=seed,
            outcome="trained",
            test_accuracy=ACCURACY[claimed.point_index][seed],
            initial_test_accuracy=0.1,
            train_loss=0.5,
            timings=Timings(
                forward_seconds=10.0, backward_seconds=BACKWARD[claimed.point_index][seed]
            ),
            epochs_by_lowest_layer=(2, *[0] * 10),
            cumulative_backward_seconds=(1.0, 2.0),
            cumulative_train_seconds=(2.0, 4.0),
        ).model_dump(mode="json")
        for seed in claimed.seeds
    ]
    with api_server.db.write() as session:
        assert finish_run(session, claimed.run_id, claimed.fence, seed_results, {})


@pytest.fixture(scope="module")
def half_done(api_server: ApiServer) -> str:
    """Two policies, with two finished seeds of the first and one of the second."""
    experiment_id = str(api_server.submit(LWS)["id"])
    for _ in range(3):
        claimed = api_server.claim_run(experiment_id)
        assert claimed is not None
        finish_lws(api_server, claimed)
    api_server.http.patch(f"/experiments/{experiment_id}", json={"priority": -10})
    return experiment_id


@pytest.fixture(scope="module")
def done(api_server: ApiServer) -> str:
    experiment_id = str(api_server.submit(LWS)["id"])
    while (claimed := api_server.claim_run(experiment_id)) is not None:
        finish_lws(api_server, claimed)
    return experiment_id


def test_a_comparison_is_not_ready_before_a_run_has_finished(api_server: ApiServer) -> None:
    experiment = api_server.submit({"spec": {"kind": "train"}, "reuse": False})
    for path in ("comparison", "difference?point=0"):
        response = api_server.http.get(f"/experiments/{experiment['id']}/{path}")
        assert (response.status_code, response.json()["code"]) == (409, "not-ready")
        assert response.headers["Retry-After"]


def test_each_claim_that_the_experiment_tests_has_a_verdict_with_departures(
    api_server: ApiServer, done: str
) -> None:
    found = api_server.get(f"/experiments/{done}/comparison")
    assert (
        api_server.get(f"/experiments/{done}")["links"]["comparison"]
        == f"/experiments/{done}/comparison"
    )
    assert (found["experiment_id"], found["kind"], found["complete"]) == (done, "lws", True)
    verdict = found["verdicts"][0]
    assert verdict["claim"] == 7
    kept, backward, _ = verdict["findings"]
    assert (verdict["verdict"], kept["verdict"]) == ("inconclusive", "inconclusive")
    assert "pretrained" in verdict["reason"], (
        "its speed alone does not reproduce a claim on accuracy"
    )
    assert backward["value"] == pytest.approx(0.25)
    assert "vgg11 at 0.25 of its width" in verdict["departures"]
    assert "3 seeds instead of 5" in found["departures"]


def test_table_1_is_listed_with_our_values(api_server: ApiServer, done: str) -> None:
    published = api_server.get(f"/experiments/{done}/comparison")["published"]
    by_point = {
        (one["point"]["policy"]["name"], one["quantity"]): one
        for one in published
        if one["source"] == "Table 1"
    }
    accuracy = by_point["top_k_all_bottoms", "test_accuracy"]
    assert accuracy["at_least"] == accuracy["at_most"] == 0.7979
    assert accuracy["ours"]["mean"] == pytest.approx(0.82)
    assert accuracy["ours"]["n"] == 3
    assert by_point["full", "backward_seconds"]["at_most"] == 2995.86
    ratio = by_point["top_k_all_bottoms", "backward_ratio"]
    assert (ratio["at_most"], ratio["ours"]["mean"]) == (0.18, pytest.approx(0.25))
    assert {one["source"] for one in published} == {"Table 1", "Figure 12"}
    drawn = api_server.get(f"/experiments/{done}/plots/accuracy_bars.json")["points"]
    labels = list(dict.fromkeys(one["label"] for one in published))
    assert labels == [point["label"] for point in drawn], "a point has one name everywhere"


def test_a_comparison_of_unfinished_runs_is_marked_incomplete(
    api_server: ApiServer, half_done: str
) -> None:
    found = api_server.get(f"/experiments/{half_done}/comparison")
    assert not found["complete"]
    assert "1 finished seed" in found["note"]
    assert {one["verdict"] for one in found["verdicts"]} == {"inconclusive"}


def test_a_kind_without_claims_has_no_verdicts(api_server: ApiServer) -> None:
    experiment = api_server.submit({"spec": {"kind": "train", "epochs": 11}})
    api_server.finish_all_runs(experiment["id"])
    found = api_server.get(f"/experiments/{experiment['id']}/comparison")
    assert (found["verdicts"], found["published"]) == ([], [])
    assert "makes no claim" in found["note"]


def test_two_points_are_paired_by_seed(api_server: ApiServer, done: str, half_done: str) -> None:
    found = api_server.get(f"/experiments/{done}/difference", point=1)
    assert (found["point"]["index"], found["baseline"]["values"]) == (1, {"policy": POLICIES[0]})
    assert (found["seeds"], found["complete"]) == ([0, 1, 2], True)
    difference = found["difference"]["test_accuracy"]
    assert difference["mean"] == pytest.approx(-0.09)
    assert difference["standard_error"] == pytest.approx(0.01 / 3**0.5)
    assert found["ratio"]["backward_seconds"]["mean"] == pytest.approx(0.25)
    assert found["notes"] == []
    partial = api_server.get(f"/experiments/{half_done}/difference", point=1)
    assert (partial["seeds"], partial["complete"]) == ([0], False)
    assert partial["difference"]["test_accuracy"]["standard_error"] is None
    assert "too few" in partial["notes"][0]


def test_an_unknown_point_is_not_found(api_server: ApiServer, done: str) -> None:
    for params in ({"point": 2}, {"point": 0, "baseline": 9}):
        assert (
            api_server.http.get(f"/experiments/{done}/difference", params=params).status_code == 404
        )
    assert (
        api_server.http.get(f"/experiments/{done}/difference", params={"point": -1}).status_code
        == 422
    )


def test_a_difference_of_few_seeds_has_a_note(api_server: ApiServer, done: str) -> None:
    experiment = api_server.submit({"spec": {"kind": "train", "epochs": 12}, "seeds": [0, 1]})
    api_server.finish_all_runs(experiment["id"])
    (point,) = api_server.get(f"/experiments/{experiment['id']}/result")["points"]
    assert "too few" in point["notes"][0]


def test_a_preview_names_the_run_whose_training_would_be_loaded(
    api_server: ApiServer,
) -> None:
    spec: dict[str, Any] = {
        "kind": "train",
        "epochs": 13,
        "model": {"name": "conv_net", "width": 4},
    }
    experiment = api_server.submit({"spec": spec, "seeds": [0, 1], "reuse": False})
    api_server.finish_all_runs(experiment["id"])
    body: dict[str, Any] = {
        "spec": {**spec, "kind": "lws", "policy": {"name": "full"}},
        "seeds": [0, 1],
    }
    assert reused(api_server, body) == [], "the run has registered no training"
    train_one(api_server, spec, seed=1)
    (training,) = reused(api_server, body)
    assert (training["point"], training["seed"]) == (0, 1)
    assert api_server.get(f"/runs/{training['run_id']}")["seeds"] == [1]
    assert reused(api_server, {**body, "reuse": False}) == []
    other = {**body, "spec": {**body["spec"], "policy": {"name": "top_k", "k": 1}}}
    assert reused(api_server, other) == [], "another policy trains another net"
    assert reused(api_server, {**body, "execution": {"precision": "bf16"}}) == []
    for kind in ("activity_map", "gradient_spectrum"):
        observing = {**body, "spec": {**spec, "kind": kind}}
        assert reused(api_server, observing) == [], (
            f"{kind} observes the training, so it must train itself"
        )


def train_one(api_server: ApiServer, spec: dict[str, Any], seed: int) -> None:
    """Register a run's training, as a worker does before the run finishes."""
    experiment = api_server.submit({"spec": spec, "seeds": [seed], "reuse": False})
    claimed = api_server.claim_run(experiment["id"])
    assert claimed is not None
    spec_digest = expand(spec, {})[0].spec.training_spec_digest(Execution(device="cpu"))
    with api_server.db.write() as session:
        assert register_training(
            session,
            digest="d",
            spec_digest=spec_digest,
            seed=seed,
            run_id=claimed.run_id,
            fence=claimed.fence,
            result={},
        )
        assert register_artifact(
            session,
            run_id=claimed.run_id,
            fence=claimed.fence,
            role="checkpoint",
            name="theta_0",
            seed=seed,
            epoch=0,
            media_type="application/vnd.safetensors",
            blob=api_server.blobs.put(b"theta_0"),
        )
    api_server.finish_run(claimed)  # it stores theta_T


def reused(api_server: ApiServer, body: dict[str, Any]) -> list[dict[str, Any]]:
    (point,) = api_server.http.post("/experiments/preview", json=body).json()["points"]
    assert point["reused_seeds"] == [training["seed"] for training in point["reused"]]
    found: list[dict[str, Any]] = point["reused"]
    return found


def test_the_client_s_tables_hold_every_verdict_and_number(
    api_server: ApiServer, done: str
) -> None:
    found = api_server.get(f"/experiments/{done}/comparison")
    comparison = Comparison.model_validate(found)
    table = verdicts_table(comparison)
    assert table.row_count == len(found["verdicts"]) > 0
    shown = [str(cell) for cell in table.columns[-1].cells]
    for cell, verdict in zip(shown, found["verdicts"], strict=True):
        assert verdict["departures"]
        assert all(departure in cell for departure in verdict["departures"])
    assert published_table(comparison).row_count == len(found["published"]) > 0


def test_a_table_is_also_returned_as_html_and_csv(api_server: ApiServer, done: str) -> None:
    links = {
        one["name"]: one["links"] for one in api_server.get(f"/experiments/{done}/plots")["items"]
    }
    assert "csv" not in links["accuracy_bars"]
    assert api_server.http.get(f"/experiments/{done}/plots/accuracy_bars.csv").status_code == 404
    page = api_server.http.get(links["table"]["html"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for words in (
        "Top 1 All Bottoms",
        "79.79",
        "82.00 ± 1.15",
        "Departs from the paper: 3 seeds instead of 5",
    ):
        assert words in page.text, words
    assert "http" not in page.text, "it refers to nothing outside of itself"
    response = api_server.http.get(links["table"]["csv"])
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    full, probabilistic = csv.DictReader(io.StringIO(response.text))
    assert (full["policy"], full["published_backward_seconds"]) == ("Full", "2995.86")
    assert float(probabilistic["test_accuracy"]) == pytest.approx(0.82)
    assert float(probabilistic["test_accuracy_standard_error"]) == pytest.approx(0.02 / 3**0.5)
    assert probabilistic["published_test_accuracy"] == "0.7979"
    with zipfile.ZipFile(
        io.BytesIO(api_server.http.get(f"/experiments/{done}/export").content)
    ) as archive:
        assert archive.read("plots/table.html") == page.content
        assert archive.read("plots/table.csv") == response.content


def test_a_table_escapes_names_and_an_empty_one_has_a_note(api_server: ApiServer) -> None:
    experiment = api_server.submit({**LWS, "name": "<script>alert(1)</script>"})
    page = api_server.http.get(f"/experiments/{experiment['id']}/plots/table.html")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "No results yet" in page.text
    lines = api_server.http.get(
        f"/experiments/{experiment['id']}/plots/table.csv"
    ).text.splitlines()
    assert len(lines) == 1
