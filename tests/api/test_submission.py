"""Submission, reuse, idempotency, preview, extension, retry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from engine.experiments.registry import kinds, parse_spec, presets
from engine.paper.departures import list_departures
from storage.database.tables import RunRow
from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer

TRAIN: dict[str, Any] = {"spec": {"kind": "train"}}


def fresh(**fields: Any) -> dict[str, Any]:
    return {**TRAIN, "reuse": False, **fields}


@pytest.mark.parametrize("kind", list(kinds()))
def test_the_example_of_every_kind_is_accepted(api_server: ApiServer, kind: str) -> None:
    response = api_server.http.post("/experiments", json=dict(kinds()[kind].example))
    assert response.status_code == 201, response.text
    assert response.json()["kind"] == kind


@pytest.mark.parametrize("preset", list(presets()), ids=str)
def test_every_preset_is_a_valid_body(api_server: ApiServer, preset: tuple[str, str]) -> None:
    name, scale = preset
    body = api_server.get(f"/presets/{name}", scale=scale)["body"]
    response = api_server.http.post("/experiments/preview", json=body)
    assert response.status_code == 200, response.text


def test_a_body_with_only_a_kind_is_accepted_with_a_location(
    api_on_both_databases: ApiServer,
) -> None:
    response = api_on_both_databases.http.post("/experiments", json=TRAIN)
    assert response.status_code == 201
    found = api_on_both_databases.get(response.headers["Location"])
    assert (found["status"], found["terminal"], found["reused"]) == ("queued", False, False)
    assert found["spec"]["optimizer"]["lr"] == 0.001
    assert found == response.json()


def test_points_are_the_product_in_the_order_given(api_server: ApiServer) -> None:
    sweep = {"model.width": [10, 20], "optimizer.lr": [0.1, 0.01]}
    experiment = api_server.submit(fresh(sweep=sweep))
    runs = api_server.get(f"/experiments/{experiment['id']}/runs")["items"]
    assert [run["point"]["values"] for run in runs] == [
        {"model.width": width, "optimizer.lr": lr} for width in (10, 20) for lr in (0.1, 0.01)
    ]
    assert list(experiment["sweep"]) == list(sweep)


@pytest.mark.parametrize(
    ("model", "per_run", "expected"),
    [
        ({"name": "relu_net"}, "auto", [[0, 1, 2]]),
        ({"name": "conv_net"}, "auto", [[0], [1], [2]]),
        ({"name": "conv_net"}, 2, [[0, 1], [2]]),
    ],
)
def test_the_seeds_of_a_stacked_net_share_a_run(
    api_server: ApiServer, model: dict[str, Any], per_run: Any, expected: list[list[int]]
) -> None:
    body = fresh(
        spec={"kind": "train", "model": model},
        seeds=[0, 1, 2],
        execution={"seeds_per_run": per_run},
    )
    runs = api_server.get(f"/experiments/{api_server.submit(body)['id']}/runs")["items"]
    assert [run["seeds"] for run in runs] == expected


def test_a_sweep_is_computed_seed_by_seed(api_server: ApiServer) -> None:
    body = fresh(
        spec={"kind": "train", "model": {"name": "conv_net"}},
        sweep={"epochs": [1, 2]},
        seeds=[5, 6, 7],
        priority=9,
    )
    experiment_id = api_server.submit(body)["id"]
    claims = [api_server.claim_run(experiment_id) for _ in range(6)]
    order = [(claim.seeds, claim.point_index) for claim in claims if claim is not None]
    assert order == [((seed,), point) for seed in (5, 6, 7) for point in (0, 1)]


def test_an_identical_experiment_is_reused(
    api_on_both_databases: ApiServer,
) -> None:
    body = {**TRAIN, "seeds": [3, 4], "name": "first"}
    first = api_on_both_databases.submit(body)
    again = api_on_both_databases.http.post("/experiments", json={**body, "name": "second"})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["reused"]) == (first["id"], True)
    assert api_on_both_databases.submit({**body, "seeds": [3]})["id"] != first["id"]
    api_on_both_databases.finish_all_runs(first["id"])
    assert api_on_both_databases.submit(body)["id"] == first["id"], (
        "one that has succeeded is reused too"
    )
    assert api_on_both_databases.submit({**body, "reuse": False})["id"] != first["id"]


def test_a_cancelled_experiment_is_not_reused(api_server: ApiServer) -> None:
    body = {**TRAIN, "seeds": [77]}
    first = api_server.submit(body)
    api_server.http.post(f"/experiments/{first['id']}/cancel")
    assert api_server.submit(body)["id"] != first["id"]


def test_a_repeated_idempotency_key_returns_the_first_response(
    api_on_both_databases: ApiServer,
) -> None:
    body = fresh(seeds=[8])
    first = api_on_both_databases.http.post(
        "/experiments", json=body, headers={"Idempotency-Key": "k"}
    )
    again = api_on_both_databases.http.post(
        "/experiments", json=body, headers={"Idempotency-Key": "k"}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    assert api_on_both_databases.count_experiments() == 1


def test_an_idempotency_key_with_another_body_is_refused(api_server: ApiServer) -> None:
    api_server.submit(fresh(), **{"Idempotency-Key": "mine"})
    response = api_server.http.post(
        "/experiments", json=fresh(seeds=[1]), headers={"Idempotency-Key": "mine"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-mismatch")


def test_an_invalid_body_does_not_use_up_its_idempotency_key(api_server: ApiServer) -> None:
    headers = {"Idempotency-Key": "once more"}
    wrong = api_server.http.post("/experiments", json={"spec": {"kind": "none"}}, headers=headers)
    assert wrong.status_code == 422
    assert api_server.http.post("/experiments", json=fresh(), headers=headers).status_code == 201


def test_concurrent_requests_with_one_idempotency_key_make_one_experiment(
    api_on_both_databases: ApiServer,
) -> None:
    def send(_: int) -> tuple[int, str]:
        response = api_on_both_databases.http.post(
            "/experiments", json=fresh(), headers={"Idempotency-Key": "race"}
        )
        return response.status_code, response.json().get("id", response.json().get("code"))

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(16)))
    made = {text for status, text in answers if status == 201}
    assert len(made) == 1
    assert {text for status, text in answers if status != 201} <= {"idempotency-in-progress"}
    assert api_on_both_databases.count_experiments() == 1


def test_a_preview_describes_the_plan_and_starts_nothing(api_server: ApiServer) -> None:
    before = api_server.count_experiments()
    body = {**TRAIN, "sweep": {"model.width": [11, 12]}, "seeds": [0, 1], "reuse": True}
    preview = api_server.http.post("/experiments/preview", json=body).json()
    assert api_server.count_experiments() == before
    assert (preview["num_runs"], preview["num_seeds"], len(preview["points"])) == (2, 2, 2)
    assert preview["points"][0]["parameters"] == 784 * 11 + 11 + 11 * 10 + 10
    assert preview["parameters"] == 784 * 12 + 12 + 12 * 10 + 10
    assert preview["seconds"] > 0
    assert preview["basis"] == "model"
    assert any("no worker listens" in warning for warning in preview["warnings"])
    assert any("2 seeds" in warning for warning in preview["warnings"])


def test_a_preview_warns_of_a_too_large_learning_rate(api_server: ApiServer) -> None:
    spec = {"kind": "train", "optimizer": {"name": "adam", "lr": 0.1}}
    warnings = api_server.http.post(
        "/experiments/preview", json={"spec": spec, "seeds": [0, 1, 2]}
    ).json()["warnings"]
    assert any("0.1" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("optimizer", "is_told"), [("adam", True), ("adamw", True), ("sgd", False)]
)
def test_a_preview_warns_of_a_scaled_output_with_adam(
    api_server: ApiServer, optimizer: str, is_told: bool
) -> None:
    spec = {"kind": "train", "optimizer": {"name": optimizer}, "output_scale": {"alpha": 10}}
    preview = api_server.http.post("/experiments/preview", json={"spec": spec, "seeds": [0, 1, 2]})
    told = [one for one in preview.json()["warnings"] if "output_scale" in one]
    assert bool(told) == is_told


def test_a_preview_tells_how_often_a_masked_study_trains(api_server: ApiServer) -> None:
    spec = {"kind": "sparse_train", "shares_percent": [1, 10, 100]}
    body = {"spec": spec, "sweep": {"model.width": [50, 100]}, "seeds": [0, 1, 2]}
    preview = api_server.http.post("/experiments/preview", json=body).json()
    assert len([one for one in preview["warnings"] if "each seed trains 5 times" in one]) == 1


def test_a_preview_warns_of_data_that_must_be_downloaded(api_server: ApiServer) -> None:
    """Until the files are there; a data set of a dependency, or generated, needs none."""
    folder = api_server.settings.resolved_data_dir
    preview = partial(api_server.http.post, "/experiments/preview")
    body = {"spec": {"kind": "train"}, "sweep": {"data.name": ["digits", "cifar10", "synthetic"]}}
    told = (
        f"the data set cifar10 is not in {folder}: a worker downloads it, unless it has it already"
    )
    assert told in preview(json=body).json()["warnings"]
    cifar = folder / "cifar-10-batches-py"
    cifar.mkdir(parents=True)
    try:
        assert not any("data set" in one for one in preview(json=body).json()["warnings"])
        assert api_server.get("/datasets/cifar10")["available"] is True
    finally:
        cifar.rmdir()
    assert api_server.get("/datasets/cifar10")["available"] is None


def test_a_preview_tells_what_differs_from_the_paper(api_server: ApiServer) -> None:
    """As the verdicts do later; nothing where the paper claims nothing about the kind."""
    spec = {"kind": "reinit_sweep", "epochs": 7}
    body = {"spec": spec, "seeds": [0, 1]}
    departures = api_server.http.post("/experiments/preview", json=body).json()["departures"]
    assert {"7 epochs instead of 100", "2 seeds instead of 5"} <= set(departures)
    assert departures == list(list_departures([parse_spec(spec)], 2))


def test_a_preview_uses_measured_runs_and_names_an_identical_experiment(
    api_server: ApiServer,
) -> None:
    body = {"spec": {"kind": "train", "epochs": 7}, "seeds": [0, 1]}
    experiment = api_server.submit(body)
    api_server.finish_all_runs(experiment["id"])
    preview = api_server.http.post("/experiments/preview", json={**body, "seeds": [0, 1, 2]}).json()
    assert preview["basis"] == "measured"
    assert preview["reuses_experiment"] is None
    assert (
        api_server.http.post("/experiments/preview", json=body).json()["reuses_experiment"]
        == experiment["id"]
    )


def test_a_preview_uses_measured_runs_of_the_same_shape_only(api_server: ApiServer) -> None:
    spec = {"kind": "train", "model": {"name": "relu_net", "width": 77}, "epochs": 4}
    experiment = api_server.submit({"spec": spec, "seeds": [0]})
    (claimed,) = api_server.finish_all_runs(experiment["id"])
    with api_server.db.write() as session:
        session.get_one(RunRow, claimed.run_id).elapsed_seconds = 50.0

    def preview(**changes: Any) -> dict[str, Any]:
        body = {"spec": {**spec, **changes}, "seeds": [0], "reuse": False}
        found: dict[str, Any] = api_server.http.post("/experiments/preview", json=body).json()
        return found

    assert preview()["seconds"] == pytest.approx(50.0)
    with api_server.db.write() as session:
        row = session.get_one(RunRow, claimed.run_id)
        row.manifest = {**(row.manifest or {}), "setup_seconds": 30.0}
    assert preview()["seconds"] == pytest.approx(20.0)
    with api_server.db.write() as session:
        row = session.get_one(RunRow, claimed.run_id)
        row.manifest = {**(row.manifest or {}), "setup_seconds": None}
    longer = preview(epochs=8, optimizer={"name": "adam", "lr": 0.01})
    assert longer["basis"] == "measured"
    assert 50 < longer["seconds"] < 100
    assert preview(batch_size=64)["basis"] == "model"


def test_a_preview_ignores_runs_that_loaded_their_training(
    api_server: ApiServer,
) -> None:
    spec = {"kind": "train", "model": {"name": "relu_net", "width": 78}}
    (claimed,) = api_server.finish_all_runs(api_server.submit({"spec": spec, "seeds": [0]})["id"])
    with api_server.db.write() as session:
        row = session.get_one(RunRow, claimed.run_id)
        row.result = [
            {**seed_result, "reused_from": "run_before"} for seed_result in row.result or ()
        ]
    body = {"spec": {**spec, "epochs": 9}, "seeds": [0]}
    assert api_server.http.post("/experiments/preview", json=body).json()["basis"] == "model"


def test_added_seeds_are_the_only_new_runs(api_server: ApiServer) -> None:
    experiment = api_server.submit(fresh(sweep={"model.width": [10, 20]}, seeds=[0, 1]))
    api_server.finish_all_runs(experiment["id"])
    assert api_server.get(f"/experiments/{experiment['id']}")["status"] == "succeeded"
    extended = api_server.http.post(
        f"/experiments/{experiment['id']}/extend", json={"seeds": [1, 2]}
    ).json()
    assert (extended["status"], extended["seeds"]) == ("running", [0, 1, 2])
    assert extended["counts"]["queued"] == 2
    claimed = api_server.finish_all_runs(experiment["id"])
    assert [claim.seeds for claim in claimed] == [(2,), (2,)]
    result = api_server.get(f"/experiments/{experiment['id']}/result")
    assert [point["seeds"] for point in result["points"]] == [[0, 1, 2], [0, 1, 2]]


def test_added_values_keep_existing_points(api_server: ApiServer) -> None:
    experiment = api_server.submit(fresh(sweep={"model.width": [10]}, seeds=[0]))
    api_server.finish_all_runs(experiment["id"])
    url = f"/experiments/{experiment['id']}"
    extended = api_server.http.post(
        f"{url}/extend", json={"sweep": {"model.width": [10, 30]}}
    ).json()
    assert (extended["num_points"], extended["sweep"]) == (2, {"model.width": [10, 30]})
    api_server.finish_all_runs(experiment["id"])
    runs = api_server.get(f"{url}/runs")["items"]
    assert [(run["point"]["index"], run["point"]["values"]) for run in runs] == [
        (0, {"model.width": 10}),
        (1, {"model.width": 30}),
    ]
    whole = {**TRAIN, "sweep": {"model.width": [10, 30]}, "seeds": [0]}
    assert api_server.submit(whole)["id"] == experiment["id"], "as if it had been submitted whole"


def test_an_extension_that_adds_nothing_changes_nothing(api_server: ApiServer) -> None:
    experiment = api_server.submit(fresh(seeds=[0]))
    before = api_server.get(f"/experiments/{experiment['id']}")
    response = api_server.http.post(f"/experiments/{experiment['id']}/extend", json={"seeds": [0]})
    assert response.status_code == 200
    assert response.json()["counts"] == before["counts"]


def test_an_extension_s_errors_point_into_it(api_server: ApiServer) -> None:
    experiment = api_server.submit(fresh(sweep={"model.width": [10]}))
    url = f"/experiments/{experiment['id']}/extend"
    response = api_server.http.post(url, json={"sweep": {"model.width": [20, 0]}})
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/sweep/model.width/1"]
    response = api_server.http.post(url, json={"sweep": {"epochs": [3]}})
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/sweep/epochs"]


def test_retry_queues_only_failed_runs(api_on_both_databases: ApiServer) -> None:
    api_server = api_on_both_databases
    spec = {"kind": "train", "model": {"name": "conv_net", "width": 4}}
    experiment = api_server.submit({"spec": spec, "seeds": [0, 1], "reuse": False})
    url = f"/experiments/{experiment['id']}"
    assert api_server.http.post(f"{url}/retry").status_code == 409
    first = api_server.claim_run(experiment["id"])
    assert first is not None
    api_server.fail_run(first)
    api_server.finish_all_runs(experiment["id"])
    failed = api_server.get(url)
    assert (failed["status"], failed["reason"]) == ("failed", "out_of_memory")
    retried = api_server.http.post(f"{url}/retry").json()
    assert (retried["status"], retried["counts"]["queued"]) == ("running", 1)
    again = api_server.finish_all_runs(experiment["id"])
    assert [claim.run_id for claim in again] == [first.run_id]
    assert again[0].fence > first.fence
    assert api_server.get(url)["status"] == "succeeded"


def test_too_many_queued_runs_are_refused_with_retry_after(
    api_server: ApiServer,
) -> None:
    free = api_server.settings.max_queued_runs
    object.__setattr__(
        api_server.settings, "max_queued_runs", api_server.get("/queue")["queued"] + 1
    )
    try:
        response = api_server.http.post(
            "/experiments", json=fresh(sweep={"model.width": [1, 2, 3]})
        )
    finally:
        object.__setattr__(api_server.settings, "max_queued_runs", free)
    assert (response.status_code, response.json()["code"]) == (429, "limit-exceeded")
    assert int(response.headers["Retry-After"]) > 0


def test_a_thousand_points_are_planned_in_seconds(api_server: ApiServer) -> None:
    response = api_server.http.post(
        "/experiments", json=fresh(sweep={"model.width": list(range(1, 1001))})
    )
    assert response.json()["num_points"] == 1000
    assert response.elapsed.total_seconds() < 20, "1 s is usual; 20 s allow for a busy machine"


def test_unmet_needs_are_reported_until_a_worker_meets_them(
    api_on_both_databases: ApiServer,
) -> None:
    execution = {"requires": {"kind": "basement", "gpu": "h100"}}
    body = fresh(execution=execution)
    first = api_on_both_databases.submit(body)
    assert first["execution"]["requires"] == execution["requires"]
    assert first["queue"]["reason"] == "1 run waits: no worker is listening"
    announce_worker(api_on_both_databases)
    reason = api_on_both_databases.get(f"/experiments/{first['id']}")["queue"]["reason"]
    assert reason.startswith("1 run waits for a worker with ")
    assert "gpu=h100, kind=basement" in reason
    warnings = api_on_both_databases.http.post("/experiments/preview", json=body).json()["warnings"]
    assert any("no listening worker fits" in warning for warning in warnings)
    assert reason in api_on_both_databases.http.get(f"/view/{first['id']}").text
    announce_worker(api_on_both_databases, kind="basement", gpu="h100")
    assert api_on_both_databases.get(f"/experiments/{first['id']}")["queue"]["reason"] is None
    assert api_on_both_databases.get("/workers")["items"][-1]["labels"] == {
        "kind": "basement",
        "gpu": "h100",
    }


def test_a_run_that_needs_too_much_memory_is_reported(api_server: ApiServer) -> None:
    announce_worker(api_server)
    model = {"name": "relu_net", "width": 6_000, "depth": 4}
    large = api_server.submit(fresh(spec={"kind": "train", "model": model}))
    small = api_server.submit(fresh())
    assert "GiB of memory" in large["queue"]["reason"]
    assert small["queue"]["reason"] is None


def test_requirements_of_workers_do_not_change_the_digest(api_server: ApiServer) -> None:
    first = api_server.submit({"spec": {"kind": "train", "epochs": 2}})
    again = {"spec": {"kind": "train", "epochs": 2}, "execution": {"requires": {"kind": "attic"}}}
    response = api_server.http.post("/experiments", json=again)
    assert (response.json()["id"], response.json()["reused"]) == (first["id"], True)


@pytest.mark.parametrize(
    "requires", [{"a b": "c"}, {"a": "b,c=d"}, {"a": ""}, {str(n): "x" for n in range(9)}]
)
def test_invalid_labels_are_refused(api_server: ApiServer, requires: dict[str, str]) -> None:
    response = api_server.http.post("/experiments", json=fresh(execution={"requires": requires}))
    assert response.status_code == 422
    assert all(
        error["pointer"].startswith("#/execution/requires") for error in response.json()["errors"]
    )


def test_the_response_to_a_submission_equals_the_stored_experiment(
    api_on_both_databases: ApiServer,
) -> None:
    announce_worker(api_on_both_databases)
    body = fresh(
        sweep={"model.width": [3, 4]},
        seeds=[0, 1],
        execution={"requires": {"gpu": "h100"}},
        name="n",
        labels={"a": "b"},
        priority=2,
        max_seconds=60,
        keep="last",
    )
    response = api_on_both_databases.submit(body)
    assert response == api_on_both_databases.get(f"/experiments/{response['id']}")
    assert (response["counts"]["queued"], response["queue"]["reason"][:12]) == (
        2,
        "2 runs wait ",
    )
