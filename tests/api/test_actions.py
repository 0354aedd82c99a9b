"""Actions on many experiments: by ids and by filter, dry runs, repeats, owners, limits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.access import Scope
from schemas.actions import MAX_ACTED
from schemas.audit import Action
from schemas.status import FailureReason
from storage.access.audit import list_entries
from storage.database.tables import ExperimentRow
from storage.experiments.listing import count_experiments
from storage.runs.transitions import fail_run
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key

BODY: dict[str, Any] = {"spec": {"kind": "train"}, "reuse": False}


def submit(api: ApiServer, **more: Any) -> str:
    return str(api.submit({**BODY, **more})["id"])


def act(api: ApiServer, action: str, **body: Any) -> dict[str, Any]:
    response = api.http.post(f"/experiments/{action}", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {item["id"]: item["outcome"] for item in report["items"]}


def status_of(api: ApiServer, experiment_id: str) -> str:
    return str(api.get(f"/experiments/{experiment_id}")["status"])


def finish(api: ApiServer, experiment_id: str) -> None:
    claimed = api.claim_run(experiment_id)
    assert claimed is not None
    api.finish_run(claimed)
    api.reconcile()


def test_a_dry_run_tells_what_cancelling_does_and_changes_nothing(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    done = submit(api, labels={"paper": "fig9"})
    finish(api, done)
    first = submit(api, labels={"paper": "fig9"}, name="mine", sweep={"model.width": [10, 20]})
    second, other = submit(api, labels={"paper": "fig9"}), submit(api, labels={"paper": "fig4"})
    assert api.claim_run(second) is not None
    request = {"filter": {"label": "paper:fig9"}}
    planned = act(api, "cancel", **request, dry_run=True)
    assert outcomes(planned) == {second: "done", first: "done", done: "refused"}
    assert planned["dry_run"] is True
    assert planned["counts"] == {"done": 2, "unchanged": 0, "refused": 1}
    running, queued, ended = planned["items"]
    assert "1 running run;" in running["detail"]
    assert (queued["title"], queued["status"]) == ("mine", "queued")
    assert "2 queued runs;" in queued["detail"]
    assert "has already succeeded" in ended["detail"]
    assert [status_of(api, one) for one in (first, second)] == ["queued", "running"]
    report = act(api, "cancel", **request)
    assert [item["outcome"] for item in report["items"]] == ["done", "done", "refused"]
    assert status_of(api, first) == "cancelled"
    assert api.get(f"/experiments/{second}/runs")["items"][0]["cancel_requested"] is True
    assert status_of(api, other) == "queued"
    # The same request again, as after an interruption: nothing more happens to the first.
    assert outcomes(act(api, "cancel", **request))[first] == "unchanged"


def test_deleting_tells_the_bytes_first_and_can_be_repeated(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    done, queued = submit(api), submit(api)
    finish(api, done)
    ids = [done, queued, "exp_unknown", done]
    planned = act(api, "delete", ids=ids, dry_run=True)
    expected = {done: "done", queued: "refused", "exp_unknown": "refused"}
    assert outcomes(planned) == expected
    single = api.http.delete(f"/experiments/{done}", params={"dry_run": "true"}).json()
    assert planned["bytes"] == planned["items"][0]["bytes"] == single["bytes"] > 0
    assert "cancel it before" in planned["items"][1]["detail"]
    assert status_of(api, done) == "succeeded"
    assert outcomes(act(api, "delete", ids=ids)) == expected
    assert api.http.get(f"/experiments/{done}").status_code == 404
    again = act(api, "delete", ids=ids)
    assert outcomes(again)[done] == "refused"
    assert "there is no experiment" in again["items"][0]["detail"]


def test_failed_runs_of_many_experiments_are_retried(api_on_both_databases: ApiServer) -> None:
    api = api_on_both_databases
    failed, whole, queued = (submit(api, labels={"paper": "fig9"}) for _ in range(3))
    claimed = api.claim_run(failed)
    assert claimed is not None
    with api.db.write() as session:
        assert fail_run(session, claimed.run_id, claimed.fence, FailureReason.INTERNAL, "it broke")
    finish(api, whole)
    request = {"filter": {"label": "paper:fig9"}}
    planned = act(api, "retry", **request, dry_run=True)
    assert outcomes(planned) == {failed: "done", whole: "unchanged", queued: "unchanged"}
    assert {item["detail"] for item in planned["items"]} == {
        "1 failed run",
        "none of its runs has failed",
    }
    assert status_of(api, failed) == "failed", "a dry run changes nothing"
    assert act(api, "retry", **request)["counts"] == {"done": 1, "unchanged": 2, "refused": 0}
    assert [status_of(api, one) for one in (failed, whole)] == ["queued", "succeeded"]
    assert act(api, "retry", **request)["counts"]["done"] == 0, "it may be sent again"


def test_a_retry_over_a_quota_is_told_and_others_go_on(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, max_queued_runs=1)) as api:
        ids = []
        for _ in range(2):
            ids.append(submit(api))
            claimed = api.claim_run(ids[-1])
            assert claimed is not None
            with api.db.write() as session:
                fail_run(session, claimed.run_id, claimed.fence, FailureReason.INTERNAL, "broke")
        report = act(api, "retry", ids=[*ids, "exp_unknown"])
        found = {ids[0]: "done", ids[1]: "refused", "exp_unknown": "refused"}
        assert outcomes(report) == found
        assert "the limit is 1" in report["items"][1]["detail"]
        assert [status_of(api, one) for one in ids] == ["queued", "failed"]


def test_labels_are_set_and_removed_and_the_others_stay(api_on_both_databases: ApiServer) -> None:
    api = api_on_both_databases
    first, second = submit(api, labels={"a": "1", "b": "2"}), submit(api)
    full = submit(api, labels={f"key {number}": "x" for number in range(32)})
    request = {"ids": [first, second, full], "labels": {"a": None, "paper": "fig9"}}
    planned = act(api, "label", **request, dry_run=True)
    assert outcomes(planned) == {first: "done", second: "done", full: "refused"}
    assert planned["items"][0]["detail"] == "paper: fig9, without a"
    assert "33 labels; the limit is 32" in planned["items"][2]["detail"]
    assert api.get(f"/experiments/{first}")["labels"] == {"a": "1", "b": "2"}
    act(api, "label", **request)
    assert api.get(f"/experiments/{first}")["labels"] == {"b": "2", "paper": "fig9"}
    assert api.get(f"/experiments/{second}")["labels"] == {"paper": "fig9"}
    assert outcomes(act(api, "label", **request))[first] == "unchanged"


def test_a_filter_that_matches_too_many_changes_none(api_server: ApiServer) -> None:
    made = submit(api_server, labels={"many": "yes"})
    with api_server.db.write() as session:
        row = session.get_one(ExperimentRow, made).model_dump()
        session.add_all(
            ExperimentRow(**{**row, "id": f"exp_{number:026d}"}) for number in range(MAX_ACTED)
        )
    body = {"filter": {"label": "many:yes"}, "labels": {"x": "y"}}
    refused = api_server.http.post("/experiments/label", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "limit-exceeded")
    assert f"{MAX_ACTED + 1} experiments match" in refused.json()["detail"]
    assert api_server.get("/experiments", label="x")["total"] == 0
    too_many = [f"exp_{number}" for number in range(MAX_ACTED + 1)]
    refused = api_server.http.post(
        "/experiments/label", json={**body, "filter": None, "ids": too_many}
    )
    assert refused.json()["errors"][0]["pointer"] == "#/ids"


@pytest.mark.parametrize(
    ("body", "pointer", "text"),
    [
        ({}, "#", "either `ids` or `filter`"),
        ({"ids": ["exp_1"], "filter": {"kind": "lws"}}, "#", "either `ids` or `filter`"),
        ({"filter": {}}, "#", "would match all"),
        ({"ids": []}, "#/ids", "at least 1 item"),
        ({"filter": {"stat": "queued"}}, "#/filter/stat", "did you mean `status`?"),
        ({"filter": {"status": "done"}}, "#/filter/status", "'succeeded'"),
        ({"ids": ["exp_1"], "dryrun": True}, "#/dryrun", "did you mean `dry_run`?"),
    ],
)
def test_a_body_that_selects_nothing_clear_is_refused(
    api_server: ApiServer, body: dict[str, Any], pointer: str, text: str
) -> None:
    for action in ("cancel", "delete"):
        refused = api_server.http.post(f"/experiments/{action}", json=body)
        assert refused.status_code == 422
        error = refused.json()["errors"][0]
        assert error["pointer"] == pointer
        assert text in error["detail"]


def test_actions_reach_only_the_owner_s_experiments_and_are_audited(
    api_with_keys: ApiServer,
) -> None:
    api = api_with_keys
    usual = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
    ada, ben = make_key(api.db, *usual), make_key(api.db, *usual, owner="ben")
    hers = request_with_key(api, ada, "POST", json={**BODY, "name": "shared"}).json()["id"]
    his = request_with_key(api, ben, "POST", json={**BODY, "name": "shared"}).json()["id"]
    by_filter = request_with_key(
        api, ben, "POST", "/experiments/cancel", json={"filter": {"name": "shared"}}
    ).json()
    assert outcomes(by_filter) == {his: "done"}
    by_id = request_with_key(api, ben, "POST", "/experiments/cancel", json={"ids": [hers]}).json()
    assert outcomes(by_id) == {hers: "refused"}
    assert by_id["items"][0]["title"] is None
    with api.db.read() as session:
        entries, _ = list_entries(session, limit=50, action=Action.CANCELLED)
        assert [(entry.target, entry.owner) for entry in entries] == [(his, "ben")]
        assert count_experiments(session) == 2
