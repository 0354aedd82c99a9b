"""What is submitted is stored whole, once, or answered by what is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.experiments.registry import kinds, presets
from storage.database.tables import RunRow
from storage.runs.workers import register_worker
from tests.api.desk import Desk

TRAIN: dict[str, Any] = {"spec": {"kind": "train"}}


def fresh(**fields: Any) -> dict[str, Any]:
    return {**TRAIN, "reuse": False, **fields}


@pytest.mark.parametrize("kind", list(kinds()))
def test_the_example_of_every_kind_is_taken_as_it_stands(desk: Desk, kind: str) -> None:
    answer = desk.http.post("/experiments", json=dict(kinds()[kind].example))
    assert answer.status_code == 201, answer.text
    assert answer.json()["kind"] == kind


@pytest.mark.parametrize("preset", list(presets()), ids=str)
def test_every_preset_is_a_valid_body(desk: Desk, preset: tuple[str, str]) -> None:
    name, scale = preset
    body = desk.get(f"/presets/{name}", scale=scale)["body"]
    answer = desk.http.post("/experiments/preview", json=body)
    assert answer.status_code == 200, answer.text


def test_a_kind_alone_is_a_body_and_the_answer_says_where_it_is(both_desks: Desk) -> None:
    answer = both_desks.http.post("/experiments", json=TRAIN)
    assert answer.status_code == 201
    found = both_desks.get(answer.headers["Location"])
    assert (found["status"], found["terminal"], found["reused"]) == ("queued", False, False)
    assert found["spec"]["optimizer"]["lr"] == 0.001
    assert found == answer.json()


def test_points_are_the_product_in_the_order_given(desk: Desk) -> None:
    sweep = {"model.width": [10, 20], "optimizer.lr": [0.1, 0.01]}
    experiment = desk.submit(fresh(sweep=sweep))
    runs = desk.get(f"/experiments/{experiment['id']}/runs")["items"]
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
    desk: Desk, model: dict[str, Any], per_run: Any, expected: list[list[int]]
) -> None:
    body = fresh(
        spec={"kind": "train", "model": model},
        seeds=[0, 1, 2],
        execution={"seeds_per_run": per_run},
    )
    runs = desk.get(f"/experiments/{desk.submit(body)['id']}/runs")["items"]
    assert [run["seeds"] for run in runs] == expected


def test_a_sweep_is_computed_seed_by_seed(desk: Desk) -> None:
    body = fresh(
        spec={"kind": "train", "model": {"name": "conv_net"}},
        sweep={"epochs": [1, 2]},
        seeds=[5, 6, 7],
        priority=9,
    )
    experiment_id = desk.submit(body)["id"]
    claims = [desk.claim(experiment_id) for _ in range(6)]
    order = [(claim.seeds, claim.point_index) for claim in claims if claim is not None]
    assert order == [((seed,), point) for seed in (5, 6, 7) for point in (0, 1)]


def test_an_identical_experiment_is_answered_instead_of_run_again(both_desks: Desk) -> None:
    body = {**TRAIN, "seeds": [3, 4], "name": "first"}
    first = both_desks.submit(body)
    again = both_desks.http.post("/experiments", json={**body, "name": "second"})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["reused"]) == (first["id"], True)
    assert both_desks.submit({**body, "seeds": [3]})["id"] != first["id"]
    both_desks.work(first["id"])
    assert both_desks.submit(body)["id"] == first["id"], "one that has succeeded is reused too"
    assert both_desks.submit({**body, "reuse": False})["id"] != first["id"]


def test_a_cancelled_experiment_is_not_reused(desk: Desk) -> None:
    body = {**TRAIN, "seeds": [77]}
    first = desk.submit(body)
    desk.http.post(f"/experiments/{first['id']}/cancel")
    assert desk.submit(body)["id"] != first["id"]


def test_a_key_gives_the_first_answer_again(both_desks: Desk) -> None:
    body = fresh(seeds=[8])
    first = both_desks.http.post("/experiments", json=body, headers={"Idempotency-Key": "k"})
    again = both_desks.http.post("/experiments", json=body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    assert both_desks.num_experiments() == 1


def test_a_key_with_another_body_is_refused(desk: Desk) -> None:
    desk.submit(fresh(), **{"Idempotency-Key": "mine"})
    answer = desk.http.post(
        "/experiments", json=fresh(seeds=[1]), headers={"Idempotency-Key": "mine"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-mismatch")


def test_a_body_that_was_refused_does_not_use_up_its_key(desk: Desk) -> None:
    headers = {"Idempotency-Key": "once more"}
    wrong = desk.http.post("/experiments", json={"spec": {"kind": "none"}}, headers=headers)
    assert wrong.status_code == 422
    assert desk.http.post("/experiments", json=fresh(), headers=headers).status_code == 201


def test_a_key_sent_many_times_at_once_makes_one_experiment(both_desks: Desk) -> None:
    def send(_: int) -> tuple[int, str]:
        answer = both_desks.http.post(
            "/experiments", json=fresh(), headers={"Idempotency-Key": "race"}
        )
        return answer.status_code, answer.json().get("id", answer.json().get("code"))

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(16)))
    made = {text for status, text in answers if status == 201}
    assert len(made) == 1
    assert {text for status, text in answers if status != 201} <= {"idempotency-in-progress"}
    assert both_desks.num_experiments() == 1


def test_a_preview_tells_what_would_be_done_and_does_nothing(desk: Desk) -> None:
    before = desk.num_experiments()
    body = {**TRAIN, "sweep": {"model.width": [11, 12]}, "seeds": [0, 1], "reuse": True}
    preview = desk.http.post("/experiments/preview", json=body).json()
    assert desk.num_experiments() == before
    assert (preview["num_runs"], preview["num_seeds"], len(preview["points"])) == (2, 2, 2)
    assert preview["points"][0]["parameters"] == 784 * 11 + 11 + 11 * 10 + 10
    assert preview["parameters"] == 784 * 12 + 12 + 12 * 10 + 10
    assert preview["seconds"] > 0
    assert preview["basis"] == "model"
    assert any("no worker listens" in warning for warning in preview["warnings"])
    assert any("2 seeds" in warning for warning in preview["warnings"])


def test_a_preview_warns_of_a_learning_rate_that_is_known_to_diverge(desk: Desk) -> None:
    spec = {"kind": "train", "optimizer": {"name": "adam", "lr": 0.1}}
    warnings = desk.http.post(
        "/experiments/preview", json={"spec": spec, "seeds": [0, 1, 2]}
    ).json()["warnings"]
    assert any("0.1" in warning for warning in warnings)


def test_a_preview_measures_by_earlier_runs_and_tells_of_an_identical_experiment(
    desk: Desk,
) -> None:
    body = {"spec": {"kind": "train", "epochs": 7}, "seeds": [0, 1]}
    experiment = desk.submit(body)
    desk.work(experiment["id"])
    preview = desk.http.post("/experiments/preview", json={**body, "seeds": [0, 1, 2]}).json()
    assert preview["basis"] == "measured"
    assert preview["reuses_experiment"] is None
    assert (
        desk.http.post("/experiments/preview", json=body).json()["reuses_experiment"]
        == experiment["id"]
    )


def test_a_preview_measures_by_runs_of_the_same_shape(desk: Desk) -> None:
    spec = {"kind": "train", "model": {"name": "relu_net", "width": 77}, "epochs": 4}
    experiment = desk.submit({"spec": spec, "seeds": [0]})
    (claimed,) = desk.work(experiment["id"])
    with desk.db.write() as session:
        session.get_one(RunRow, claimed.run_id).elapsed_seconds = 50.0

    def preview(**changes: Any) -> dict[str, Any]:
        body = {"spec": {**spec, **changes}, "seeds": [0], "reuse": False}
        found: dict[str, Any] = desk.http.post("/experiments/preview", json=body).json()
        return found

    assert preview()["seconds"] == pytest.approx(50.0)
    longer = preview(epochs=8, optimizer={"name": "adam", "lr": 0.01})
    assert longer["basis"] == "measured"
    assert 50 < longer["seconds"] < 100
    assert preview(batch_size=64)["basis"] == "model"


def test_a_preview_takes_no_time_from_a_run_that_was_spared_its_training(desk: Desk) -> None:
    spec = {"kind": "train", "model": {"name": "relu_net", "width": 78}}
    (claimed,) = desk.work(desk.submit({"spec": spec, "seeds": [0]})["id"])
    with desk.db.write() as session:
        row = session.get_one(RunRow, claimed.run_id)
        row.result = [
            {**seed_result, "reused_from": "run_before"} for seed_result in row.result or ()
        ]
    body = {"spec": {**spec, "epochs": 9}, "seeds": [0]}
    assert desk.http.post("/experiments/preview", json=body).json()["basis"] == "model"


def test_adding_seeds_runs_only_those(desk: Desk) -> None:
    experiment = desk.submit(fresh(sweep={"model.width": [10, 20]}, seeds=[0, 1]))
    desk.work(experiment["id"])
    assert desk.get(f"/experiments/{experiment['id']}")["status"] == "succeeded"
    extended = desk.http.post(
        f"/experiments/{experiment['id']}/extend", json={"seeds": [1, 2]}
    ).json()
    assert (extended["status"], extended["seeds"]) == ("running", [0, 1, 2])
    assert extended["counts"]["queued"] == 2
    claimed = desk.work(experiment["id"])
    assert [claim.seeds for claim in claimed] == [(2,), (2,)]
    result = desk.get(f"/experiments/{experiment['id']}/result")
    assert [point["seeds"] for point in result["points"]] == [[0, 1, 2], [0, 1, 2]]


def test_adding_values_keeps_the_points_that_are_there(desk: Desk) -> None:
    experiment = desk.submit(fresh(sweep={"model.width": [10]}, seeds=[0]))
    desk.work(experiment["id"])
    url = f"/experiments/{experiment['id']}"
    extended = desk.http.post(f"{url}/extend", json={"sweep": {"model.width": [10, 30]}}).json()
    assert (extended["num_points"], extended["sweep"]) == (2, {"model.width": [10, 30]})
    desk.work(experiment["id"])
    runs = desk.get(f"{url}/runs")["items"]
    assert [(run["point"]["index"], run["point"]["values"]) for run in runs] == [
        (0, {"model.width": 10}),
        (1, {"model.width": 30}),
    ]
    whole = {**TRAIN, "sweep": {"model.width": [10, 30]}, "seeds": [0]}
    assert desk.submit(whole)["id"] == experiment["id"], "as if it had been submitted whole"


def test_an_extension_that_adds_nothing_changes_nothing(desk: Desk) -> None:
    experiment = desk.submit(fresh(seeds=[0]))
    before = desk.get(f"/experiments/{experiment['id']}")
    answer = desk.http.post(f"/experiments/{experiment['id']}/extend", json={"seeds": [0]})
    assert answer.status_code == 200
    assert answer.json()["counts"] == before["counts"]


def test_an_extension_s_errors_point_into_it(desk: Desk) -> None:
    experiment = desk.submit(fresh(sweep={"model.width": [10]}))
    url = f"/experiments/{experiment['id']}/extend"
    answer = desk.http.post(url, json={"sweep": {"model.width": [20, 0]}})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/sweep/model.width/1"]
    answer = desk.http.post(url, json={"sweep": {"epochs": [3]}})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/sweep/epochs"]


def test_retry_queues_the_failed_runs_alone(both_desks: Desk) -> None:
    desk = both_desks
    spec = {"kind": "train", "model": {"name": "conv_net", "width": 4}}
    experiment = desk.submit({"spec": spec, "seeds": [0, 1], "reuse": False})
    url = f"/experiments/{experiment['id']}"
    assert desk.http.post(f"{url}/retry").status_code == 409
    first = desk.claim(experiment["id"])
    assert first is not None
    desk.fail(first)
    desk.work(experiment["id"])
    failed = desk.get(url)
    assert (failed["status"], failed["reason"]) == ("failed", "out_of_memory")
    retried = desk.http.post(f"{url}/retry").json()
    assert (retried["status"], retried["counts"]["queued"]) == ("running", 1)
    again = desk.work(experiment["id"])
    assert [claim.run_id for claim in again] == [first.run_id]
    assert again[0].fence > first.fence
    assert desk.get(url)["status"] == "succeeded"


def test_more_runs_than_may_wait_are_refused_with_the_time_to_come_back(desk: Desk) -> None:
    free = desk.settings.max_queued_runs
    object.__setattr__(desk.settings, "max_queued_runs", desk.get("/queue")["queued"] + 1)
    try:
        answer = desk.http.post("/experiments", json=fresh(sweep={"model.width": [1, 2, 3]}))
    finally:
        object.__setattr__(desk.settings, "max_queued_runs", free)
    assert (answer.status_code, answer.json()["code"]) == (429, "limit-exceeded")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_thousand_points_are_planned_in_seconds(desk: Desk) -> None:
    answer = desk.http.post("/experiments", json=fresh(sweep={"model.width": list(range(1, 1001))}))
    assert answer.json()["num_points"] == 1000
    assert answer.elapsed.total_seconds() < 20, "20 s leave room for a busy machine; 1 s is usual"


def listen(desk: Desk, **labels: str) -> None:
    """A worker of 2 GiB is announced."""
    announced = {
        "host": "h",
        "pid": 1,
        "device": "cpu",
        "device_class": "cpu",
        "slots": 1,
        "versions": {},
    }
    with desk.db.write() as session:
        register_worker(
            session, **announced, memory_bytes=2 << 30, host_memory_bytes=2 << 30, labels=labels
        )


def test_what_a_run_needs_that_no_listening_worker_has_is_told_until_one_has_it(
    both_desks: Desk,
) -> None:
    execution = {"requires": {"kind": "basement", "gpu": "h100"}}
    body = fresh(execution=execution)
    first = both_desks.submit(body)
    assert first["execution"]["requires"] == execution["requires"]
    assert first["queue"]["reason"] is None, "where nobody listens that is the reason"
    listen(both_desks)
    told = both_desks.get(f"/experiments/{first['id']}")["queue"]["reason"]
    assert told.startswith("a run of it waits for a worker that fits (")
    assert "gpu=h100, kind=basement" in told
    warnings = both_desks.http.post("/experiments/preview", json=body).json()["warnings"]
    assert any("no worker that listens fits" in warning for warning in warnings)
    assert told in both_desks.http.get(f"/view/{first['id']}").text
    listen(both_desks, kind="basement", gpu="h100")
    assert both_desks.get(f"/experiments/{first['id']}")["queue"]["reason"] is None
    assert both_desks.get("/workers")["items"][-1]["labels"] == {"kind": "basement", "gpu": "h100"}


def test_a_run_of_more_memory_than_any_listening_worker_has_is_told(desk: Desk) -> None:
    listen(desk)
    model = {"name": "relu_net", "width": 6_000, "depth": 4}
    large = desk.submit(fresh(spec={"kind": "train", "model": model}))
    small = desk.submit(fresh())
    assert "GiB of memory" in large["queue"]["reason"]
    assert small["queue"]["reason"] is None


def test_where_it_is_computed_is_no_part_of_what_is_asked(desk: Desk) -> None:
    first = desk.submit({"spec": {"kind": "train", "epochs": 2}})
    again = {"spec": {"kind": "train", "epochs": 2}, "execution": {"requires": {"kind": "attic"}}}
    answer = desk.http.post("/experiments", json=again)
    assert (answer.json()["id"], answer.json()["reused"]) == (first["id"], True)


@pytest.mark.parametrize(
    "requires", [{"a b": "c"}, {"a": "b,c=d"}, {"a": ""}, {str(n): "x" for n in range(9)}]
)
def test_labels_that_cannot_be_written_are_refused(desk: Desk, requires: dict[str, str]) -> None:
    answer = desk.http.post("/experiments", json=fresh(execution={"requires": requires}))
    assert answer.status_code == 422
    assert all(
        error["pointer"].startswith("#/execution/requires") for error in answer.json()["errors"]
    )


def test_a_new_experiment_is_answered_as_it_is_then_read(both_desks: Desk) -> None:
    listen(both_desks)
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
    answer = both_desks.submit(body)
    assert answer == both_desks.get(f"/experiments/{answer['id']}")
    assert (answer["counts"]["queued"], answer["queue"]["reason"][:19]) == (
        2,
        "2 of its runs wait ",
    )
