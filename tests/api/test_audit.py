"""The audit trail: every write has an entry, which outlives the changed object."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from richregime import AuditEntry, Client
from richregime.errors import ProblemError
from schemas.access import Scope
from schemas.audit import Action
from storage.access.audit import forget_entries
from storage.access.keys import find_key
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz

BODY = {"spec": {"kind": "train"}, "reuse": False}


@pytest.fixture
def keyed(api_on_both_databases: ApiServer) -> tuple[ApiServer, str, str]:
    """An API, a key of the user Ada and one of an admin."""
    root = make_key(api_on_both_databases.db, Scope.ADMIN, owner="root")
    return api_on_both_databases, make_key(api_on_both_databases.db), root


def trail(api_server: ApiServer, root: str, **filters: Any) -> list[AuditEntry]:
    """The entries of the trail, oldest first."""
    with Client(str(api_server.http.base_url), key=root) as client:
        return [*client.audit(**filters)][::-1]


def test_every_write_is_recorded_with_owner_target_and_request_id(
    keyed: tuple[ApiServer, str, str],
) -> None:
    api_server, ada, root = keyed
    with api_server.db.read() as session:
        row = find_key(session, ada)
    assert row is not None
    made = request_with_key(api_server, ada, "POST", json={**BODY, "reuse": True}).json()["id"]
    path = f"/experiments/{made}"
    page = {"Sec-Fetch-Site": "same-origin"}
    calls: list[tuple[Action, str | None, tuple[str, str], dict[str, Any]]] = [
        (Action.SUBMITTED, made, ("POST", "/experiments"), {"json": {**BODY, "reuse": True}}),
        (Action.CHANGED, made, ("PATCH", path), {"json": {"priority": 3, "name": "n"}}),
        (Action.EXTENDED, made, ("POST", f"{path}/extend"), {"json": {"seeds": [7]}}),
        (Action.CANCELLED, made, ("POST", f"{path}/cancel"), {}),
        (Action.DELETED, made, ("DELETE", path), {}),
        (
            Action.UPLOADED,
            "mine",
            ("POST", "/datasets"),
            {"content": make_npz(), "params": {"name": "mine"}},
        ),
        (
            Action.UPLOADED,
            None,
            ("POST", "/checkpoints"),
            {"content": make_checkpoint(CHECKPOINT_SHAPES)},
        ),
        (Action.LOGGED_IN, None, ("POST", "/login"), {"data": {"key": ada}, "headers": page}),
        (Action.LOGGED_OUT, None, ("POST", "/logout"), {"headers": page}),
    ]
    answers = []
    for _, _, (method, address), more in calls:
        shown = ada if address not in ("/login", "/logout") else None
        answers.append(request_with_key(api_server, shown, method, address, **more))
        assert answers[-1].status_code < 400, answers[-1].text
    request_with_key(
        api_server, ada, "POST", f"{path}/extend", json={"seeds": [7]}
    )  # adds nothing, so it is not recorded
    found = trail(api_server, root)[1:]
    assert [one.action for one in found] == [action for action, *_ in calls]
    for entry, (_, target, *_), response in zip(found, calls, answers, strict=True):
        assert (entry.owner, entry.key_id) == ("ada", row.id)
        assert entry.request_id == response.headers["X-Request-Id"]
        assert target is None or entry.target == target
    assert (found[0].detail, found[1].detail) == ("reused", "name, priority")
    assert [one.action for one in trail(api_server, root, target=made)][-1] == Action.DELETED, (
        "it outlives its target"
    )


def test_a_retry_and_an_import_are_recorded(api_with_keys: ApiServer) -> None:
    ada, root = make_key(api_with_keys.db), make_key(api_with_keys.db, Scope.ADMIN, owner="root")
    made = request_with_key(api_with_keys, ada, "POST", json=BODY).json()["id"]
    api_with_keys.http.headers["Authorization"] = f"Bearer {ada}"
    claimed = api_with_keys.claim_run(made)
    assert claimed is not None
    api_with_keys.fail_run(claimed)
    assert api_with_keys.http.post(f"/experiments/{made}/retry").status_code == 200
    api_with_keys.finish_all_runs(made)
    archive = api_with_keys.http.get(
        f"/experiments/{made}/export", params={"files": "true"}
    ).content
    imported = [api_with_keys.http.post("/import", content=archive) for _ in range(2)]
    del api_with_keys.http.headers["Authorization"]
    assert [response.status_code for response in imported] == [201, 200]
    assert [one.target for one in trail(api_with_keys, root, action="retried")] == [made]
    entries = trail(api_with_keys, root, action="imported")
    assert [(one.target, one.detail) for one in entries] == [
        (imported[0].json()["id"], f"was {made}")
    ]


def test_a_refused_or_failed_write_is_not_recorded(api_with_keys: ApiServer) -> None:
    ada, root = make_key(api_with_keys.db), make_key(api_with_keys.db, Scope.ADMIN, owner="root")
    before = len(trail(api_with_keys, root))
    assert (
        request_with_key(
            api_with_keys, ada, "POST", json={"spec": {"kind": "train", "epochs": -1}}
        ).status_code
        == 422
    )
    assert (
        request_with_key(api_with_keys, ada, "POST", "/experiments/exp_1/cancel").status_code == 404
    )
    assert request_with_key(api_with_keys, ada, "DELETE", "/experiments/exp_1").status_code == 404
    assert len(trail(api_with_keys, root)) == before


def test_refused_keys_are_recorded_up_to_a_limit(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, max_failed_keys_per_minute=3)) as api_server:
        reader, root = (
            make_key(api_server.db, Scope.READ),
            make_key(api_server.db, Scope.ADMIN, owner="root"),
        )
        for _ in range(5):
            request_with_key(api_server, "rrk_0_0")
            request_with_key(api_server, None)
            assert request_with_key(api_server, reader, "POST", json=BODY).status_code == 403
        found = trail(api_server, root, action="refused")
        assert sorted(one.detail or "" for one in found) == [
            *3 * ["401 GET /experiments from 127.0.0.1"],
            *3 * ["403 POST /experiments from 127.0.0.1"],
        ]
        assert {one.owner for one in found} == {None, "ada"}


def test_only_an_admin_reads_the_trail_page_by_page(api_with_keys: ApiServer) -> None:
    ada, root = (
        make_key(api_with_keys.db, Scope.READ, Scope.SUBMIT),
        make_key(api_with_keys.db, Scope.ADMIN, owner="root"),
    )
    for epochs in (2, 3, 4):
        request_with_key(
            api_with_keys, ada, "POST", json={"spec": {"kind": "train", "epochs": epochs}}
        )
    whole = [one.id for one in trail(api_with_keys, root)][::-1]
    assert whole == sorted(whole, reverse=True)
    seen, cursor = [], None
    while True:
        page = request_with_key(
            api_with_keys,
            root,
            path="/audit",
            params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2},
        )
        seen += [one["id"] for one in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == whole
    with (
        Client(str(api_with_keys.http.base_url), key=ada) as client,
        pytest.raises(ProblemError, match="forbidden"),
    ):
        list(client.audit())
    assert (
        request_with_key(api_with_keys, root, path="/audit", params={"cursor": "x"}).status_code
        == 422
    )
    assert {one.owner for one in trail(api_with_keys, root, owner="ada")} == {"ada"}


def test_without_keys_entries_have_no_owner(api_server: ApiServer) -> None:
    made = api_server.submit(BODY)["id"]
    entry = api_server.get("/audit")["items"][0]
    assert (entry["owner"], entry["key_id"], entry["target"]) == (None, None, made)


def test_old_entries_are_deleted(api_on_both_databases: ApiServer) -> None:
    api_on_both_databases.submit(BODY)
    assert forget_entries(api_on_both_databases.db, timedelta(days=1)) == 0
    assert len(api_on_both_databases.get("/audit")["items"]) == 1
    assert forget_entries(api_on_both_databases.db, timedelta(0)) == 1
    assert api_on_both_databases.get("/audit")["items"] == []
