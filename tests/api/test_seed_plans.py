"""Seeds until the verdicts are decided: submission, preview, extension, comparison, export."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from api.experiments import extend
from engine.experiments.registry import kinds
from engine.paper.looks import LookOutcome
from storage.experiments.looks import QueueLimits, find_due_look, store_look
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.zip_files import pack_zip, unpack_zip
from workers.looks import look_at_all

PLAN = {"until": "decided", "first": 3, "step": 2, "at_most": 8}
NO_LIMITS = QueueLimits(of_owner=10**6, of_all=10**6)
plan_extended = extend._plan_extended


def body_of(number: int, **changed: Any) -> dict[str, Any]:
    """A body that equals no other test's. number: any that no other test uses."""
    return {"spec": {"kind": "train", "epochs": 300 + number}, "seeds": PLAN, **changed}


def look_open(api_server: ApiServer, experiment_id: str) -> None:
    """Look once, and find the verdicts open."""
    with api_server.db.read() as session:
        due = find_due_look(session, experiment_id)
    assert due is not None
    with api_server.db.write() as session:
        assert store_look(session, due, LookOutcome(False, True), [], NO_LIMITS) is not None


def cancel(api_server: ApiServer, experiment_id: str) -> None:
    """So that its queued runs, which have the highest priority, are not in the way of others."""
    assert api_server.http.post(f"/experiments/{experiment_id}/cancel").status_code == 200


@pytest.mark.parametrize("kind", [name for name, kind in kinds().items() if kind.judge_path])
def test_kinds_with_claims_take_a_plan(api_server: ApiServer, kind: str) -> None:
    found = api_server.submit({"spec": {"kind": kind}, "seeds": {"until": "decided"}})
    assert found["seeds"] == [0, 1, 2, 3, 4]
    assert found["seed_plan"] == {
        "until": "decided",
        "first": 5,
        "step": 5,
        "at_most": 40,
        "looks_planned": 8,
        "looks_made": 0,
        "confidence": 1 - 0.05 / 8,
        "ended": None,
    }
    assert api_server.get(f"/experiments/{found['id']}") == found


def test_a_kind_without_claims_takes_only_a_list(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = {name: replace(kind, judge_path=None) for name, kind in kinds().items()}
    monkeypatch.setattr("api.experiments.plan.kinds", lambda: without)
    response = api_server.http.post("/experiments", json=body_of(0, epochs="wrong"))
    errors = {error["pointer"]: error for error in response.json()["errors"]}
    assert response.status_code == 422
    assert errors.keys() == {"#/seeds", "#/epochs"}
    assert errors["#/seeds"]["code"] == "no-claims"
    assert "the paper claims nothing about the kind train" in errors["#/seeds"]["detail"]
    api_server.submit(body_of(0, seeds=[0, 1]))
    own = {"name": "learns", "quantity": "test_accuracy", "at_least": 0.5}
    assert api_server.submit(body_of(0, claims=[own]))["seed_plan"]["looks_planned"] == 4


@pytest.mark.parametrize(
    ("seeds", "pointers"),
    [
        ({"until": "decided", "first": 2, "step": 0, "at_most": 2}, {"first", "step", "at_most"}),
        ({"until": "decided", "first": 9, "at_most": 8}, {"at_most"}),
        ({"until": "decided", "at_most": 1001}, {"at_most"}),
        ({"until": "bored", "start": 7}, {"until", "start"}),
        ({}, {"until"}),
        ({"until": "decided", "first": 5.5, "step": True}, {"first", "step"}),
    ],
)
@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
def test_every_error_of_a_plan_is_told(
    api_server: ApiServer, path: str, seeds: dict[str, Any], pointers: set[str]
) -> None:
    body = body_of(1, seeds=seeds, priority=11)
    response = api_server.http.post(path, json=body)
    assert response.status_code == 422
    found = {error["pointer"] for error in response.json()["errors"]}
    assert found == {"#/priority", *(f"#/seeds/{pointer}" for pointer in pointers)}


@pytest.mark.parametrize("first", [41, 45, 50, 1000])
@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
def test_more_first_seeds_than_the_most_by_default_are_refused(
    api_server: ApiServer, path: str, first: int
) -> None:
    body = body_of(1, seeds={"until": "decided", "first": first})
    response = api_server.http.post(path, json=body)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["pointer"], error["detail"]) == (
        "#/seeds/at_most",
        f"must be at least `first`, {first:,}, and is 40 if it is left out; name a larger "
        "`at_most`, or a smaller `first` (got 40)",
    )


@pytest.mark.parametrize(
    ("seeds", "pointer"), [([0, 0], "#/seeds/1"), ([], "#/seeds"), ([0, -1], "#/seeds/1")]
)
def test_errors_of_a_list_point_into_it(
    api_server: ApiServer, seeds: list[int], pointer: str
) -> None:
    response = api_server.http.post("/experiments", json=body_of(1, seeds=seeds))
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


@pytest.mark.parametrize("seeds", [3, "0-4", None])
def test_what_is_no_list_and_no_plan_is_told_what_is_accepted(
    api_server: ApiServer, seeds: object
) -> None:
    response = api_server.http.post("/experiments", json=body_of(1, seeds=seeds))
    (error,) = response.json()["errors"]
    accepted = 'must be a list of seeds like [0, 1, 2], or {"until": "decided"}'
    shown = "" if seeds is None else f" (got {seeds!r})"
    assert (error["pointer"], error["detail"]) == ("#/seeds", accepted + shown)


def test_a_preview_states_the_first_look_and_the_most(api_server: ApiServer) -> None:
    sweep = {"model.width": [10, 20]}
    execution = {"stack_seeds": False}
    response = api_server.http.post(
        "/experiments/preview", json=body_of(2, sweep=sweep, execution=execution)
    )
    found, most = response.json(), response.json()["growth"]
    assert (found["num_seeds"], found["num_runs"]) == (3, 6)
    assert (most["num_seeds"], most["num_runs"]) == (8, 16)
    assert (most["looks_planned"], most["confidence"]) == (4, 1 - 0.05 / 4)
    assert most["flops"] == pytest.approx(found["flops"] * 8 / 3)
    assert most["seconds"] > found["seconds"]
    as_list = api_server.http.post("/experiments/preview", json=body_of(2, seeds=[0, 1, 2])).json()
    assert as_list["growth"] is None


def test_stacked_seeds_are_added_in_runs_of_the_first_size(api_server: ApiServer) -> None:
    """3 + 2 + 2 + 1 seeds: one run each."""
    found = api_server.http.post("/experiments/preview", json=body_of(3)).json()
    assert (found["num_runs"], found["growth"]["num_runs"]) == (1, 4)
    wide = {**PLAN, "step": 7, "at_most": 10}
    found = api_server.http.post("/experiments/preview", json=body_of(3, seeds=wide)).json()
    assert found["growth"]["num_runs"] == 1 + 3


def test_the_most_runs_are_limited_at_submission(tmp_path: Any, sqlite_url: str) -> None:
    settings = make_settings(tmp_path, database_url=sqlite_url, max_runs=7, max_queued_runs=4)
    execution = {"stack_seeds": False}
    with serve_api(settings) as api_server:

        def refuse(seeds: dict[str, Any]) -> dict[str, Any]:
            response = api_server.http.post(
                "/experiments", json=body_of(4, seeds=seeds, execution=execution)
            )
            assert response.status_code == 422, response.text
            (error,) = response.json()["errors"]
            assert error["code"] == "plan-too-large"
            return dict(error)

        assert refuse(PLAN)["pointer"] == "#/seeds"
        assert "8 runs; the limit is 7" in refuse(PLAN)["detail"]
        step = refuse({**PLAN, "step": 5})
        assert step["pointer"] == "#/seeds/step"
        assert "a step adds 5 runs; at most 4" in step["detail"]
        api_server.submit(body_of(4, seeds={**PLAN, "at_most": 7}, execution=execution))


def test_an_identical_submission_returns_the_experiment_also_after_it_has_grown(
    api_server: ApiServer,
) -> None:
    first = api_server.submit(body_of(5))
    api_server.finish_all_runs(first["id"])
    look_open(api_server, first["id"])
    again = api_server.submit(body_of(5))
    assert (again["id"], again["reused"]) == (first["id"], True)
    assert again["seeds"] == [0, 1, 2, 3, 4]
    others = ({**PLAN, "step": 3}, {**PLAN, "at_most": 9}, [0, 1, 2], [0, 1, 2, 3, 4])
    for seeds in others:
        other = api_server.submit(body_of(5, seeds=seeds))
        assert not other["reused"], seeds
    cancel(api_server, first["id"])


def test_a_look_decides_by_the_stored_results(api_server: ApiServer) -> None:
    """One net makes no claim that `train` can test, so no seeds are added."""
    experiment_id = api_server.submit(body_of(6))["id"]
    api_server.finish_all_runs(experiment_id)
    running = api_server.get(f"/experiments/{experiment_id}")
    assert (running["status"], running["finished_at"]) == ("running", None)
    assert not api_server.get(f"/experiments/{experiment_id}/comparison")["complete"]
    assert look_at_all(api_server.db, api_server.blobs, api_server.settings) == []
    api_server.reconcile()
    ended = api_server.get(f"/experiments/{experiment_id}")
    assert (ended["status"], ended["seed_plan"]["ended"]) == ("succeeded", "undecidable")
    events = api_server.get(f"/experiments/{experiment_id}/events")["items"]
    names = [event["name"] for event in events]
    assert names[-2:] == ["experiment.looked", "experiment.finished"]
    assert events[-2]["data"] == {
        "look": 1,
        "looks": 4,
        "seeds": 3,
        "confidence": 1 - 0.05 / 4,
        "verdicts": [],
        "decided": False,
        "ended": "undecidable",
    }
    found = api_server.get(f"/experiments/{experiment_id}/comparison")
    assert found["complete"]
    assert (found["confidence"], found["seed_plan"]["looks_made"]) == (1 - 0.05 / 4, 1)
    assert "4 planned, 1 made" in found["note"]


def test_the_page_tells_the_looks_and_why_they_ended(api_server: ApiServer) -> None:
    experiment_id = api_server.submit(body_of(14))["id"]

    def told() -> str:
        page = api_server.http.get(f"/view/{experiment_id}", headers={"Accept": "text/html"}).text
        return " ".join(page.split('id="seed-plan"')[1].split("</p>")[0].split())

    assert "0 looks of 4 at the verdicts made. 2 seeds at a time, up to 8, until" in told()
    api_server.finish_all_runs(experiment_id)
    look_at_all(api_server.db, api_server.blobs, api_server.settings)
    assert "1 look of 4 at the verdicts made. No more seeds are added: no number" in told()


def test_verdicts_use_the_confidence_of_the_plan(api_server: ApiServer) -> None:
    sweep = {"model.width": [10, 1000]}
    planned = api_server.submit(body_of(7, sweep=sweep))["id"]
    listed = api_server.submit(body_of(7, sweep=sweep, seeds=[0, 1, 2]))["id"]
    for experiment_id in (planned, listed):
        api_server.finish_all_runs(experiment_id)
    found = api_server.get(f"/experiments/{planned}/comparison")
    plain = api_server.get(f"/experiments/{listed}/comparison")
    assert (found["confidence"], plain["confidence"]) == (1 - 0.05 / 4, 0.95)
    assert plain["seed_plan"] is None
    for one, other in zip(found["verdicts"], plain["verdicts"], strict=True):
        for ours, theirs in zip(one["findings"], other["findings"], strict=True):
            if theirs["interval"] is not None:
                assert ours["interval"][0] < theirs["interval"][0]
    look_at_all(api_server.db, api_server.blobs, api_server.settings)
    events = api_server.get(f"/experiments/{planned}/events")["items"]
    (looked,) = [event["data"] for event in events if event["name"] == "experiment.looked"]
    assert looked["verdicts"] == [
        {name: verdict[name] for name in ("claim", "point", "verdict", "value", "interval", "n")}
        for verdict in found["verdicts"]
    ]


def test_an_extension_adds_what_is_missing_and_equals_no_submission(api_server: ApiServer) -> None:
    """By a swept value for the seeds so far, and by seeds beside those of the plan."""
    sweep = {"model.width": [10]}
    first = api_server.submit(body_of(8, sweep=sweep))
    api_server.finish_all_runs(first["id"])
    look_open(api_server, first["id"])
    path = f"/experiments/{first['id']}/extend"
    swept = api_server.http.post(path, json={"sweep": {"model.width": [20]}}).json()
    assert (swept["num_points"], swept["seeds"]) == (2, [0, 1, 2, 3, 4])
    assert swept["digest"] != first["digest"]
    assert swept["seed_plan"]["ended"] is None
    seeds = api_server.http.post(path, json={"seeds": [9, 0]}).json()
    assert seeds["seeds"] == [0, 1, 2, 3, 4, 9]
    runs = api_server.get(f"/experiments/{first['id']}/runs")["items"]
    by_point = {index: set[int]() for index in range(2)}
    for run in runs:
        by_point[run["point"]["index"]] |= set(run["seeds"])
    assert by_point == {0: {0, 1, 2, 3, 4, 9}, 1: {0, 1, 2, 3, 4, 9}}
    assert sum(len(run["seeds"]) for run in runs) == 12
    api_server.finish_all_runs(first["id"])
    look_open(api_server, first["id"])
    assert api_server.get(f"/experiments/{first['id']}")["seeds"] == [0, 1, 2, 3, 4, 9, 5, 6]
    for widths in ([10], [10, 20]):
        assert not api_server.submit(body_of(8, sweep={"model.width": widths}))["reused"]
    cancel(api_server, first["id"])


def test_seeds_that_were_added_while_an_extension_was_planned_stay(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = api_server.submit(body_of(12))["id"]
    api_server.finish_all_runs(experiment_id)
    planned = []

    def plan_and_look(*arguments: Any) -> Any:
        planned.append(plan_extended(*arguments))
        if len(planned) == 1:
            look_open(api_server, experiment_id)
        return planned[-1]

    monkeypatch.setattr(extend, "_plan_extended", plan_and_look)
    response = api_server.http.post(f"/experiments/{experiment_id}/extend", json={"seeds": [9]})
    assert response.json()["seeds"] == [0, 1, 2, 3, 4, 9]
    runs = api_server.get(f"/experiments/{experiment_id}/runs")["items"]
    assert [run["seeds"] for run in runs] == [[0, 1, 2], [3, 4], [9]]
    cancel(api_server, experiment_id)


def test_an_extension_beyond_the_limit_of_seeds_is_refused(api_server: ApiServer) -> None:
    experiment_id = api_server.submit(body_of(9))["id"]
    response = api_server.http.post(
        f"/experiments/{experiment_id}/extend", json={"seeds": list(range(3, 1003))}
    )
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/seeds"]


def test_a_cancel_before_the_look_ends_it(api_server: ApiServer) -> None:
    experiment_id = api_server.submit(body_of(10))["id"]
    api_server.finish_all_runs(experiment_id)
    cancelled = api_server.http.post(f"/experiments/{experiment_id}/cancel").json()
    assert (cancelled["status"], cancelled["seed_plan"]["ended"]) == ("cancelled", "cancelled")
    assert look_at_all(api_server.db, api_server.blobs, api_server.settings) == []
    assert api_server.http.delete(f"/experiments/{experiment_id}").status_code == 200


def test_an_export_keeps_the_plan_and_an_import_is_never_looked_at(api_server: ApiServer) -> None:
    experiment_id = api_server.submit(body_of(11))["id"]
    api_server.finish_all_runs(experiment_id)
    look_open(api_server, experiment_id)
    api_server.finish_all_runs(experiment_id)
    archive = api_server.http.get(f"/experiments/{experiment_id}/export").content
    assert "bundle.json" not in unpack_zip(archive), "it may still add seeds"
    look_at_all(api_server.db, api_server.blobs, api_server.settings)
    api_server.reconcile()
    archive = api_server.http.get(f"/experiments/{experiment_id}/export").content
    imported = api_server.http.post("/import", content=archive).json()
    original = api_server.get(f"/experiments/{experiment_id}")
    for name in ("seeds", "seed_plan", "status"):
        assert imported[name] == original[name], name
    assert imported["seed_plan"]["looks_made"] == 2
    assert look_at_all(api_server.db, api_server.blobs, api_server.settings) == []
    entries = unpack_zip(archive)
    assert json.loads(entries["body.json"])["seeds"] == PLAN
    assert b"engine run body.json --seeds 0,1,2,3,4 --out" in entries["rerun.sh"]


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"seed_plan": {"ended": None}}, "#/seed_plan/ended"),
        ({"seed_plan": {"step": 1}}, "#/seed_plan"),
        ({"seed_plan": {"first": 9}}, "#/seed_plan"),
        ({"seed_plan": None}, "#/seed_plan"),
        ({"seeds": None}, "#/seed_plan"),
        ({"seeds": [0, 1, 2, 2]}, "#/seeds/3"),
        ({"seed_plan": {"confidence": 1.0}}, "#/seed_plan/confidence"),
    ],
)
def test_an_import_with_another_or_an_open_plan_is_refused(
    api_server: ApiServer, changed: dict[str, Any], pointer: str
) -> None:
    made = api_server.submit(body_of(13))
    if not made["terminal"]:
        api_server.finish_all_runs(made["id"])
        look_at_all(api_server.db, api_server.blobs, api_server.settings)
        api_server.reconcile()
    archive = api_server.http.get(f"/experiments/{made['id']}/export").content
    entries = unpack_zip(archive)
    bundle = json.loads(entries["bundle.json"])
    for name, value in changed.items():
        bundle[name] = {**bundle[name], **value} if isinstance(value, dict) else value
    entries["bundle.json"] = json.dumps(bundle).encode()
    response = api_server.http.post("/import", content=pack_zip(entries))
    assert [error["pointer"] for error in response.json()["errors"]][:1] == [pointer]
