"""Cordons over the API, the command line and the page: who may, what is told, what is recorded."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from richregime.cli import app
from schemas.access import Scope
from schemas.audit import Action
from storage.access.audit import list_entries
from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer
from tests.api.keys import make_key, request_with_key


def test_a_worker_is_cordoned_and_uncordoned(api_on_both_databases: ApiServer) -> None:
    api = api_on_both_databases
    announce_worker(api)
    (worker,) = api.get("/workers")["items"]
    assert worker["cordon"] is None
    experiment = api.submit({"spec": {"kind": "train"}})["id"]
    (told,) = api.http.post(f"/workers/{worker['id']}/cordon", params={"hand_back": "true"}).json()[
        "items"
    ]
    assert (told["listening"], told["cordon"]["hand_back"]) == (False, True)
    assert told["cordon"]["name"] == worker["id"]
    reason = api.get(f"/experiments/{experiment}")["queue"]["reason"]
    assert reason == (
        "1 run waits: no worker is listening; 1 is cordoned (`richregime uncordon` ends it)"
    )
    assert "1 is cordoned" in api.http.get("/readyz").json()["detail"]
    page = api.http.get("/machines", headers={"Accept": "text/html"}).text
    assert 'data-call="uncordon"' in page
    assert "cordoned" in page
    (told,) = api.http.post(f"/workers/{worker['id']}/uncordon").json()["items"]
    assert (told["listening"], told["cordon"]) == (True, None)
    assert api.get(f"/experiments/{experiment}")["queue"]["reason"] is None
    with api.db.read() as session:
        entries = list_entries(session, limit=5, target=worker["id"])[0]
    assert [(one.action, one.detail) for one in entries] == [
        (Action.UNCORDONED, None),
        (Action.CORDONED, "hand_back"),
    ]
    unknown = api.http.post("/workers/nowhere/cordon")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert "no worker and no host 'nowhere'" in unknown.json()["detail"]


def test_only_an_admin_cordons_and_sees_the_buttons(api_with_keys: ApiServer) -> None:
    announce_worker(api_with_keys)
    usual = make_key(api_with_keys.db, Scope.READ, Scope.SUBMIT, Scope.CANCEL)
    admin = make_key(api_with_keys.db, Scope.ADMIN)
    for path in ("/workers/h/cordon", "/workers/h/uncordon"):
        assert request_with_key(api_with_keys, usual, "POST", path).status_code == 403
        assert request_with_key(api_with_keys, admin, "POST", path).status_code == 200
    for key, shown in ((usual, False), (admin, True)):
        page = request_with_key(api_with_keys, key, path="/machines").text
        assert ("data-call=" in page) is shown


def test_the_commands_follow_the_workers(
    api_on_both_databases: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce_worker(api_on_both_databases)
    monkeypatch.setenv("RICHREGIME_URL", str(api_on_both_databases.http.base_url))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    (worker,) = json.loads(run("workers", "--json"))
    assert "listening" in run("workers")
    assert "cordoned" in run("cordon", worker["id"])
    assert "cordoned" in run("drain", "h", "--hand-back")
    (told,) = json.loads(run("uncordon", "h", "--json"))
    assert told["cordon"]["name"] == worker["id"], "its own holds"
    assert "listening" in run("uncordon", worker["id"])
    assert CliRunner().invoke(app, ["cordon", "nowhere"]).exit_code == 4
