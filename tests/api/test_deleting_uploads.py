"""Data sets and uploaded checkpoints: deleted when nothing needs them; equal uploads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from sqlmodel import select

from engine.experiments.registry import kinds, parse_spec
from engine.spec import Execution
from schemas.access import Scope
from schemas.status import RunStatus
from storage.database.tables import AuditRow, DatasetRow, ExperimentRow, PointRow, RunRow
from storage.files.artifacts import register_artifact
from storage.files.trainings import register_training
from storage.runs.claim import Claim
from tests.api.api_server import ApiServer
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import (
    CHECKPOINT_SHAPES,
    FROM_GIVEN_WEIGHTS,
    body_from_checkpoint,
    make_checkpoint,
    make_npz,
)

ROUNDS = 12
USUAL = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
SMALL = {"model": {"name": "relu_net", "width": 2}}


@pytest.fixture
def api(api_on_both_databases: ApiServer) -> ApiServer:
    return api_on_both_databases


def register(api: ApiServer, name: str, content: bytes) -> httpx.Response:
    return api.http.post("/datasets", params={"name": name}, content=content)


def upload(api: ApiServer) -> str:
    response = api.http.post("/checkpoints", content=make_checkpoint(CHECKPOINT_SHAPES))
    assert response.status_code in (200, 201), response.text
    return str(response.json()["id"])


def body_with(name: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"kind": "train", "epochs": 1, "data": {"name": name}, **SMALL}, **more}


def at_once(*calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
    barrier = threading.Barrier(len(calls))

    def start(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def has_file(api: ApiServer, sha256: str) -> bool:
    return api.blobs.exists(sha256)


def test_a_data_set_is_deleted_once_no_run_needs_it_and_its_results_stay(api: ApiServer) -> None:
    made = register(api, "mine", make_npz()).json()
    other = register(api, "mine-too", make_npz(24)).json()
    experiment = api.submit(body_with("mine"))["id"]
    refused = api.http.delete("/datasets/mine")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid-transition")
    assert experiment in refused.json()["detail"]
    assert api.http.delete("/datasets/mine", params={"dry_run": True}).status_code == 409
    claim = api.claim_run(experiment)
    assert claim is not None
    assert api.http.delete("/datasets/mine").status_code == 409, "a running run needs it"
    api.finish_run(claim)
    api.reconcile()
    for dry_run in (True, False):
        response = api.http.delete("/datasets/mine", params={"dry_run": dry_run})
        found = {"id": "mine", "deleted": not dry_run, "dry_run": dry_run, "bytes": made["bytes"]}
        assert (response.status_code, response.json()) == (200, found)
        assert has_file(api, made["sha256"]) is dry_run
    assert api.http.delete("/datasets/mine").status_code == 404
    assert api.http.get("/datasets/mine").status_code == 404
    assert has_file(api, other["sha256"])
    for path in ("", "/result", "/export", "/plots/learning_curve.png"):
        assert api.http.get(f"/experiments/{experiment}{path}").status_code == 200, path
    assert api.http.get(f"/view/{experiment}", headers={"Accept": "text/html"}).status_code == 200
    with api.db.read() as session:
        entries = session.scalars(select(AuditRow).where(AuditRow.target == "mine")).all()
    assert [entry.action for entry in sorted(entries, key=lambda one: one.id)] == [
        "uploaded",
        "deleted",
    ]


def test_a_checkpoint_is_deleted_once_no_run_needs_it(api: ApiServer) -> None:
    checkpoint = upload(api)
    sha256 = api.get(f"/checkpoints/{checkpoint}")["sha256"]
    experiment = api.submit(body_from_checkpoint(checkpoint))["id"]
    refused = api.http.delete(f"/checkpoints/{checkpoint}")
    assert refused.status_code == 409
    assert experiment in refused.json()["detail"]
    api.http.post(f"/experiments/{experiment}/cancel").raise_for_status()
    assert api.http.delete(f"/checkpoints/{checkpoint}").json()["deleted"] is True
    assert not has_file(api, sha256)
    assert api.http.delete(f"/checkpoints/{checkpoint}").status_code == 404
    assert api.http.post("/experiments", json=body_from_checkpoint(checkpoint)).status_code == 422
    assert upload(api) == checkpoint


def test_a_refusal_names_three_experiments_at_most(api: ApiServer) -> None:
    register(api, "mine", make_npz())
    made = [api.submit(body_with("mine", reuse=False))["id"] for _ in range(5)]
    api.submit(body_with("digits", sweep={"model.width": [3, 4]}))
    detail = api.http.delete("/datasets/mine").json()["detail"]
    assert [one in detail for one in made] == [True, True, True, False, False]
    assert "and more" in detail


def test_a_point_of_a_sweep_needs_its_data_set(api: ApiServer) -> None:
    register(api, "mine", make_npz())
    api.submit(body_with("digits", sweep={"data.name": ["digits", "mine"]}))
    assert api.http.delete("/datasets/mine").status_code == 409


def test_a_built_in_data_set_cannot_be_deleted(api: ApiServer) -> None:
    refused = api.http.delete("/datasets/digits")
    assert refused.status_code == 409
    assert "built in" in refused.json()["detail"]


def test_damaged_specs_do_not_keep_a_data_set_from_being_deleted(api: ApiServer) -> None:
    register(api, "mine", make_npz())
    experiment = api.submit(body_with("digits"))["id"]
    with api.db.write() as session:
        point = session.scalars(select(PointRow).where(PointRow.experiment_id == experiment)).one()
        point.spec = {"data": "mine", "note": '"mine"'}
    assert api.http.delete("/datasets/mine").status_code == 200


def failed_with(api: ApiServer, name: str) -> str:
    experiment: str = api.submit(body_with(name))["id"]
    claim = api.claim_run(experiment)
    assert claim is not None
    api.fail_run(claim)
    api.reconcile()
    return experiment


def test_a_failed_run_is_not_retried_without_its_data_set_or_with_another(api: ApiServer) -> None:
    register(api, "mine", make_npz())
    experiment = failed_with(api, "mine")
    api.http.delete("/datasets/mine").raise_for_status()
    retry = f"/experiments/{experiment}/retry"
    refused = api.http.post(retry)
    assert refused.status_code == 409
    assert "the data set 'mine' was deleted" in refused.json()["detail"]
    register(api, "mine", make_npz(30)).raise_for_status()
    refused = api.http.post(retry)
    assert refused.status_code == 409
    assert "registered with other content" in refused.json()["detail"]
    extend = api.http.post(f"/experiments/{experiment}/extend", json={"seeds": [7]})
    assert extend.status_code == 409, extend.text
    with api.db.read() as session:
        runs = session.scalars(select(RunRow).where(RunRow.experiment_id == experiment)).all()
    assert [run.status for run in runs] == [RunStatus.FAILED]
    register(api, "other", make_npz(34)).raise_for_status()
    assert api.http.post(f"/experiments/{failed_with(api, 'other')}/retry").status_code == 200


@pytest.mark.parametrize("hours", [0, 1])
def test_a_failed_run_is_retried_on_the_same_data_registered_again(
    api: ApiServer, hours: int
) -> None:
    """Also where the clock was set back between submission and registration."""
    register(api, "mine", make_npz())
    experiment = failed_with(api, "mine")
    with api.db.write() as session:
        session.get_one(ExperimentRow, experiment).created_at += timedelta(hours=hours)
    api.http.delete("/datasets/mine").raise_for_status()
    register(api, "mine", make_npz()).raise_for_status()
    assert api.http.post(f"/experiments/{experiment}/retry").status_code == 200


def claim_of(api: ApiServer, experiment: str) -> Claim:
    claim = api.claim_run(experiment)
    assert claim is not None
    return claim


def save_checkpoint(api: ApiServer, claim: Claim, name: str = "epoch_1", **header: Any) -> str:
    """Store weights as a checkpoint of a running run; returns its id."""
    with api.db.write() as session:
        artifact = register_artifact(
            session,
            run_id=claim.run_id,
            fence=claim.fence,
            role="checkpoint",
            name=name,
            seed=0,
            epoch=1,
            media_type="application/vnd.safetensors",
            blob=api.blobs.put(make_checkpoint(CHECKPOINT_SHAPES, **header)),
        )
    assert artifact is not None
    return artifact


def submit_from(api: ApiServer, checkpoint: str, kind: str = "train") -> str:
    body = body_from_checkpoint(checkpoint)
    spec = {**dict(kinds()[kind].example)["spec"], **body["spec"], "kind": kind, "epochs": 5}
    spec |= FROM_GIVEN_WEIGHTS.get(kind, {})
    spec["data"] = {"name": "digits"}
    return str(api.submit({"spec": spec})["id"])


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_experiment_whose_checkpoint_a_run_needs_is_not_deleted(
    api: ApiServer, kind: str, status: str
) -> None:
    first = api.submit(body_from_checkpoint(upload(api)))["id"]
    claim = claim_of(api, first)
    artifact = save_checkpoint(api, claim)
    api.fail_run(claim)
    second = submit_from(api, artifact, kind)
    running = claim_of(api, second) if status == "running" else None
    for dry_run in (True, False):
        refused = api.http.delete(f"/experiments/{first}", params={"dry_run": dry_run})
        assert (refused.status_code, second in refused.json()["detail"]) == (409, True)
    if running is not None:
        api.fail_run(running)
    else:
        api.http.post(f"/experiments/{second}/cancel").raise_for_status()
    assert api.http.delete(f"/experiments/{first}").status_code == 200


@pytest.mark.parametrize(
    ("keep", "kind"), [("last", "train"), ("best", "train"), *(("none", kind) for kind in kinds())]
)
def test_a_checkpoint_that_a_run_needs_is_kept_whatever_keep_says(
    api: ApiServer, keep: str, kind: str
) -> None:
    two_runs = {"seeds": [0, 1], "execution": {"seeds_per_run": 1}, "keep": keep}
    first = api.submit({**body_from_checkpoint(upload(api)), **two_runs})["id"]
    claim = claim_of(api, first)
    needed = save_checkpoint(api, claim, __metadata__={"of": "this run"})
    save_checkpoint(api, claim, "epoch_2")
    second = submit_from(api, needed, kind)
    api.finish_run(claim)
    api.finish_run(claim_of(api, first))
    api.reconcile()
    assert api.get(f"/experiments/{first}")["status"] == "succeeded"
    left = api.get(f"/runs/{claim.run_id}/checkpoints")["items"]
    names = {"epoch_1"} if keep == "none" else {"epoch_1", "theta_T"}
    assert {one["name"] for one in left} <= names
    (kept,) = [one for one in left if one["name"] == "epoch_1"]
    assert (kept["id"], has_file(api, kept["sha256"])) == (needed, True)
    api.http.post(f"/experiments/{second}/cancel").raise_for_status()
    assert api.http.delete(f"/experiments/{first}").status_code == 200
    assert not has_file(api, kept["sha256"])


def test_an_end_beside_a_submission_never_leaves_runs_without_their_checkpoint(
    api: ApiServer,
) -> None:
    def end() -> httpx.Response:
        api.reconcile()
        return api.http.get("/healthz")

    for number in range(ROUNDS):
        first = api.submit({**body_from_checkpoint(upload(api)), "keep": "none", "reuse": False})
        claim = claim_of(api, first["id"])
        needed = save_checkpoint(api, claim, __metadata__={"round": str(number)})
        api.finish_run(claim)
        submitted, _ = at_once(
            partial(api.http.post, "/experiments", json=body_from_checkpoint(needed)),
            end,
        )
        assert submitted.status_code in (201, 409, 422), submitted.text
        exists = api.http.get(f"/artifacts/{needed}").status_code == 200
        assert exists is (submitted.status_code == 201)


def test_a_checkpoint_whose_file_is_deleted_at_this_moment_is_refused(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claim_of(api, api.submit(body_from_checkpoint(upload(api)))["id"])
    stored = save_checkpoint(api, claim, __metadata__={"deleted": "soon"})
    (row,) = api.get(f"/runs/{claim.run_id}/checkpoints")["items"]
    api.blobs.discard(row["sha256"])
    monkeypatch.setattr(type(api.blobs), "exists", lambda *_: True)  # until a moment ago
    refused = api.http.post("/experiments", json=body_from_checkpoint(stored))
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == "#/spec/init/checkpoint"
    assert "is missing" in refused.json()["errors"][0]["detail"]


def test_a_checkpoint_that_is_stored_again_keeps_its_id(api: ApiServer) -> None:
    """A run that starts from it would not find it otherwise, as after a retry."""
    first = api.submit(body_from_checkpoint(upload(api)))["id"]
    claim = claim_of(api, first)
    stored = save_checkpoint(api, claim)
    second = submit_from(api, stored)
    api.fail_run(claim)
    api.http.post(f"/experiments/{first}/retry").raise_for_status()
    claim = claim_of(api, first)
    assert save_checkpoint(api, claim) == stored
    other = save_checkpoint(api, claim, __metadata__={"other": "content"})
    assert other != stored
    api.http.post(f"/experiments/{second}/cancel").raise_for_status()


def test_a_failed_run_is_not_retried_without_its_checkpoint(api: ApiServer) -> None:
    checkpoint = upload(api)
    experiment = api.submit(body_from_checkpoint(checkpoint))["id"]
    claim = api.claim_run(experiment)
    assert claim is not None
    api.fail_run(claim)
    api.http.delete(f"/checkpoints/{checkpoint}").raise_for_status()
    assert api.http.post(f"/experiments/{experiment}/retry").status_code == 409
    upload(api)
    assert api.http.post(f"/experiments/{experiment}/retry").status_code == 200


@pytest.mark.parametrize("hours", [0, 1])
def test_results_on_a_deleted_data_set_are_not_reused_for_another_of_its_name(
    api: ApiServer, hours: int
) -> None:
    """Also where the clock was set back between the two registrations."""
    register(api, "mine", make_npz())
    first = api.submit(body_with("mine"))
    api.finish_all_runs(first["id"])
    assert api.submit(body_with("mine"))["id"] == first["id"]
    with api.db.write() as session:
        row = session.get_one(ExperimentRow, first["id"])
        row.created_at += timedelta(hours=hours)
    api.http.delete("/datasets/mine").raise_for_status()
    register(api, "mine", make_npz(30)).raise_for_status()
    assert (
        api.http.post("/experiments/preview", json=body_with("mine")).json()["reuses_experiment"]
        is None
    )
    second = api.submit(body_with("mine"))
    assert (second["reused"], second["id"] == first["id"]) == (False, False)


def test_a_preview_names_no_training_on_a_data_set_that_was_replaced(api: ApiServer) -> None:
    register(api, "mine", make_npz())
    experiment = api.submit(body_with("mine"))["id"]
    claim = claim_of(api, experiment)
    spec = parse_spec(claim.spec)
    with api.db.write() as session:
        assert register_training(
            session,
            digest="d",
            spec_digest=spec.training_spec_digest(Execution.model_validate(claim.execution)),
            seed=0,
            run_id=claim.run_id,
            fence=claim.fence,
            result={},
        )
    for name in ("theta_0", "theta_T"):
        save_checkpoint(api, claim, name)
    api.finish_run(claim)

    def reused() -> list[str]:
        body = body_with("mine", seeds=[0, 1], sweep={"data.name": ["digits", "mine"]})
        preview = api.http.post("/experiments/preview", json=body).json()
        assert preview["points"][0]["reused"] == []
        return [training["run_id"] for training in preview["points"][1]["reused"]]

    assert reused() == [claim.run_id]
    for content, found in ((make_npz(30), []), (make_npz(), [claim.run_id])):
        api.http.delete("/datasets/mine").raise_for_status()
        register(api, "mine", content).raise_for_status()
        assert reused() == found


def test_a_file_of_another_owner_or_use_stays_and_is_not_told(api: ApiServer) -> None:
    ada, ben = (make_key(api.db, *USUAL, owner=owner) for owner in ("ada", "ben"))
    named = {"content": make_npz(), "params": {"name": "mine"}}
    for key in (ada, ben):
        assert request_with_key(api, key, "POST", "/datasets", **named).status_code == 201
    sha256 = request_with_key(api, ada, path="/datasets/mine").json()["sha256"]
    second = {**named, "params": {"name": "second"}}
    assert request_with_key(api, ada, "POST", "/datasets", **second).status_code == 201
    answers = [
        request_with_key(api, key, "DELETE", "/datasets/mine").json()["bytes"] for key in (ada, ben)
    ]
    assert answers == [len(make_npz())] * 2
    assert has_file(api, sha256), "the second name refers to it"
    assert request_with_key(api, ada, "DELETE", "/datasets/second").status_code == 200
    assert not has_file(api, sha256)


def test_an_admin_deletes_a_data_set_of_one_owner_and_is_told_of_several(api: ApiServer) -> None:
    root, ada, ben = (
        make_key(api.db, Scope.ADMIN, owner="root"),
        *(make_key(api.db, *USUAL, owner=owner) for owner in ("ada", "ben")),
    )
    for key, name in ((ada, "one"), (ada, "both"), (ben, "both")):
        sent: dict[str, Any] = {"content": make_npz(), "params": {"name": name}}
        assert request_with_key(api, key, "POST", "/datasets", **sent).status_code == 201
    assert request_with_key(api, root, "DELETE", "/datasets/one").status_code == 200
    refused = request_with_key(api, root, "DELETE", "/datasets/both")
    assert refused.status_code == 409
    assert "several owners" in refused.json()["detail"]


def test_equal_names_at_once_give_one_data_set(api: ApiServer) -> None:
    for number in range(ROUNDS):
        contents = [make_npz(20), make_npz(20), make_npz(24), make_npz(24)]
        found = at_once(*(partial(register, api, f"race{number}", one) for one in contents))
        codes = sorted(response.status_code for response in found)
        assert codes == [200, 201, 409, 409], [response.text for response in found]
        with api.db.read() as session:
            query = select(DatasetRow).where(DatasetRow.name == f"race{number}")
            row = session.scalars(query).one()
        assert has_file(api, row.sha256)


def test_equal_checkpoints_at_once_give_one(api: ApiServer) -> None:
    for number in range(ROUNDS):
        data = make_checkpoint(CHECKPOINT_SHAPES, __metadata__={"round": str(number)})
        found = at_once(*[partial(api.http.post, "/checkpoints", content=data)] * 4)
        codes = sorted(response.status_code for response in found)
        assert codes == [200, 200, 200, 201], [response.text for response in found]
        assert len({response.json()["id"] for response in found}) == 1


def test_a_deletion_beside_a_submission_never_leaves_runs_without_data(api: ApiServer) -> None:
    for number in range(ROUNDS):
        name = f"beside{number}"
        register(api, name, make_npz()).raise_for_status()
        submitted, deleted = at_once(
            partial(api.http.post, "/experiments", json=body_with(name)),
            partial(api.http.delete, f"/datasets/{name}"),
        )
        assert (submitted.status_code, deleted.status_code) in {
            (201, 409),
            (409, 200),
            (422, 200),
        }, (submitted.text, deleted.text)
        exists = api.http.get(f"/datasets/{name}").status_code == 200
        assert exists is (submitted.status_code == 201)


@pytest.mark.parametrize("move", ["retry", "extend"])
def test_a_deletion_beside_a_change_never_leaves_runs_without_data(
    api: ApiServer, move: str
) -> None:
    for number in range(ROUNDS):
        name = f"{move}{number}"
        register(api, name, make_npz()).raise_for_status()
        experiment = failed_with(api, name)
        body: dict[str, Any] = {"json": {"seeds": [5]}} if move == "extend" else {}
        changed, deleted = at_once(
            partial(api.http.post, f"/experiments/{experiment}/{move}", **body),
            partial(api.http.delete, f"/datasets/{name}"),
        )
        found = (changed.status_code, deleted.status_code)
        assert found in {(200, 409), (409, 200), (422, 200)}, (changed.text, deleted.text)
        api.http.post(f"/experiments/{experiment}/cancel")
