"""The audit trail: every write has an entry, in its transaction, which outlives what it tells of."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from richregime import Client
from richregime.errors import ProblemError
from schemas.access import Scope
from schemas.audit import Action, AuditEntry
from storage.access.audit import forget_entries
from storage.access.keys import find_key
from tests.api.desk import Desk, make_settings, serving
from tests.api.keyed import ask, make_key
from tests.api.test_api_bring_your_own import SHAPES, make_file
from tests.api.test_api_offer import make_npz

BODY = {"spec": {"kind": "train"}, "reuse": False}


@pytest.fixture
def keyed(both_desks: Desk) -> tuple[Desk, str, str]:
    """An API, a key of Ada's and one of an admin's."""
    root = make_key(both_desks.db, Scope.ADMIN, owner="root")
    return both_desks, make_key(both_desks.db), root


def trail(desk: Desk, root: str, **filters: Any) -> list[AuditEntry]:
    """Oldest first."""
    with Client(str(desk.http.base_url), key=root) as client:
        return [*client.audit(**filters)][::-1]


def test_every_write_is_recorded_by_whom_on_what_and_in_which_request(
    keyed: tuple[Desk, str, str],
) -> None:
    desk, ada, root = keyed
    with desk.db.read() as session:
        row = find_key(session, ada)
    assert row is not None
    made = ask(desk, ada, "POST", json={**BODY, "reuse": True}).json()["id"]
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
        (Action.UPLOADED, None, ("POST", "/checkpoints"), {"content": make_file(SHAPES)}),
        (Action.LOGGED_IN, None, ("POST", "/login"), {"data": {"key": ada}, "headers": page}),
        (Action.LOGGED_OUT, None, ("POST", "/logout"), {"headers": page}),
    ]
    answers = []
    for _, _, (method, address), more in calls:
        shown = ada if address not in ("/login", "/logout") else None
        answers.append(ask(desk, shown, method, address, **more))
        assert answers[-1].status_code < 400, answers[-1].text
    ask(
        desk, ada, "POST", f"{path}/extend", json={"seeds": [7]}
    )  # there is nothing to extend any more
    found = trail(desk, root)[1:]
    assert [one.action for one in found] == [action for action, *_ in calls]
    for entry, (_, target, *_), answer in zip(found, calls, answers, strict=True):
        assert (entry.owner, entry.key_id) == ("ada", row.id)
        assert entry.request_id == answer.headers["X-Request-Id"]
        assert target is None or entry.target == target
    assert (found[0].detail, found[1].detail) == ("reused", "name, priority")
    assert [one.action for one in trail(desk, root, target=made)][-1] == Action.DELETED, (
        "it outlives its target"
    )


def test_a_retry_and_an_import_are_recorded(closed: Desk) -> None:
    ada, root = make_key(closed.db), make_key(closed.db, Scope.ADMIN, owner="root")
    made = ask(closed, ada, "POST", json=BODY).json()["id"]
    closed.http.headers["Authorization"] = f"Bearer {ada}"
    claimed = closed.claim(made)
    assert claimed is not None
    closed.fail(claimed)
    assert closed.http.post(f"/experiments/{made}/retry").status_code == 200
    closed.work(made)
    archive = closed.http.get(f"/experiments/{made}/export", params={"files": "true"}).content
    imported = [closed.http.post("/import", content=archive) for _ in range(2)]
    del closed.http.headers["Authorization"]
    assert [answer.status_code for answer in imported] == [201, 200]
    assert [one.target for one in trail(closed, root, action="retried")] == [made]
    entries = trail(closed, root, action="imported")
    assert [(one.target, one.detail) for one in entries] == [
        (imported[0].json()["id"], f"was {made}")
    ]


def test_what_is_refused_or_fails_is_not_recorded_as_done(closed: Desk) -> None:
    ada, root = make_key(closed.db), make_key(closed.db, Scope.ADMIN, owner="root")
    before = len(trail(closed, root))
    assert (
        ask(closed, ada, "POST", json={"spec": {"kind": "train", "epochs": 0}}).status_code == 422
    )
    assert ask(closed, ada, "POST", "/experiments/exp_1/cancel").status_code == 404
    assert ask(closed, ada, "DELETE", "/experiments/exp_1").status_code == 404
    assert len(trail(closed, root)) == before


def test_refused_keys_are_recorded_and_the_record_is_bounded(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serving(make_settings(tmp_path, max_failed_keys_per_minute=3)) as desk:
        reader, root = make_key(desk.db, Scope.READ), make_key(desk.db, Scope.ADMIN, owner="root")
        for _ in range(5):
            ask(desk, "rrk_0_0")
            ask(desk, None)
            assert ask(desk, reader, "POST", json=BODY).status_code == 403
        found = trail(desk, root, action="refused")
        assert sorted(one.detail or "" for one in found) == [
            *3 * ["401 GET /experiments from 127.0.0.1"],
            *3 * ["403 POST /experiments from 127.0.0.1"],
        ]
        assert {one.owner for one in found} == {None, "ada"}


def test_only_an_admin_reads_it_and_page_by_page(closed: Desk) -> None:
    ada, root = (
        make_key(closed.db, Scope.READ, Scope.SUBMIT),
        make_key(closed.db, Scope.ADMIN, owner="root"),
    )
    for epochs in (2, 3, 4):
        ask(closed, ada, "POST", json={"spec": {"kind": "train", "epochs": epochs}})
    whole = [one.id for one in trail(closed, root)][::-1]
    assert whole == sorted(whole, reverse=True)
    seen, cursor = [], None
    while True:
        page = ask(
            closed,
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
        Client(str(closed.http.base_url), key=ada) as client,
        pytest.raises(ProblemError, match="forbidden"),
    ):
        list(client.audit())
    assert ask(closed, root, path="/audit", params={"cursor": "x"}).status_code == 422
    assert {one.owner for one in trail(closed, root, owner="ada")} == {"ada"}


def test_without_keys_it_tells_what_was_done_by_nobody_in_particular(desk: Desk) -> None:
    made = desk.submit(BODY)["id"]
    entry = desk.get("/audit")["items"][0]
    assert (entry["owner"], entry["key_id"], entry["target"]) == (None, None, made)


def test_old_entries_are_forgotten(both_desks: Desk) -> None:
    both_desks.submit(BODY)
    assert forget_entries(both_desks.db, timedelta(days=1)) == 0
    assert len(both_desks.get("/audit")["items"]) == 1
    assert forget_entries(both_desks.db, timedelta(0)) == 1
    assert both_desks.get("/audit")["items"] == []
