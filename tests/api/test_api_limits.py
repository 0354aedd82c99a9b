"""Rates of keys and limits of owners: what is refused, how it is told, and that nothing is written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from richregime import Client
from schemas.access import Scope
from storage.access.quota_usage import count_active, count_metric_rows, count_stored_bytes
from tests.api.desk import Desk, make_settings, serving
from tests.api.keyed import ask, make_key
from tests.api.test_api_bring_your_own import SHAPES, make_file
from tests.api.test_api_offer import make_npz

TWO_RUNS: dict[str, Any] = {
    "spec": {"kind": "train"},
    "sweep": {"model.width": [5, 6]},
    "seeds": [0],
    "reuse": False,
}


@contextmanager
def limited(home: Path, template: Path, **values: Any) -> Iterator[Desk]:
    shutil.copyfile(template, home / "richregime.sqlite3")
    with serving(make_settings(home, **values)) as opened:
        yield opened


def refused(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, code, and the settings that the errors name."""
    problem = answer.json()
    return (
        answer.status_code,
        problem["code"],
        [one["detail"].partition(":")[0] for one in problem["errors"]],
    )


def test_a_key_s_reads_and_writes_are_counted_apart(tmp_path: Path, sqlite_template: Path) -> None:
    with limited(
        tmp_path, sqlite_template, max_reads_per_minute=4, max_writes_per_minute=2
    ) as desk:
        ada, ben = make_key(desk.db), make_key(desk.db, Scope.READ, owner="ben")
        for left in (1, 0):
            answer = ask(desk, ada, "POST", json=TWO_RUNS)
            assert answer.status_code == 201
            assert answer.headers["RateLimit-Policy"] == '"writes";q=2;w=60'
            assert answer.headers["RateLimit"].startswith(f'"writes";r={left};t=')
        over = ask(desk, ada, "POST", json=TWO_RUNS)
        assert (over.status_code, over.json()["code"]) == (429, "rate-limited")
        assert 1 <= int(over.headers["Retry-After"]) <= 60
        assert over.headers["RateLimit"] == f'"writes";r=0;t={over.headers["Retry-After"]}'
        assert ask(desk, ada, "POST", "/experiments/preview", json=TWO_RUNS).status_code == 200, (
            "a read"
        )
        assert [ask(desk, ada).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert ask(desk, ben).status_code == 200
        assert desk.num_experiments() == 2


def test_whoever_needs_no_key_is_not_counted(tmp_path: Path, sqlite_template: Path) -> None:
    with limited(
        tmp_path, sqlite_template, max_reads_per_minute=1, max_writes_per_minute=1
    ) as desk:
        for _ in range(3):
            answer = desk.http.get("/experiments")
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


def test_an_owner_s_runs_that_wait_are_bounded(tmp_path: Path, sqlite_template: Path) -> None:
    with limited(tmp_path, sqlite_template, limit_queued_per_owner=3) as desk:
        usual = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
        ada, ben = make_key(desk.db, *usual), make_key(desk.db, *usual, owner="ben")
        root = make_key(desk.db, Scope.ADMIN, owner="root")
        first = ask(desk, ada, "POST", json=TWO_RUNS).json()["id"]
        for key, path, body in (
            (ada, "/experiments", TWO_RUNS),
            (ada, f"/experiments/{first}/extend", {"seeds": [1]}),
            (root, f"/experiments/{first}/extend", {"seeds": [1]}),
        ):
            over = ask(desk, key, "POST", path, json=body)
            assert refused(over) == (429, "limit-exceeded", ["limit_queued_per_owner"]), path
            assert over.headers["Retry-After"] == "60"
            assert "2 runs of yours wait and this adds 2; the limit is 3" in over.json()["detail"]
        assert desk.num_experiments() == 1
        assert ask(desk, ben, "POST", json=TWO_RUNS).status_code == 201
        used = ask(desk, ada, path="/limits").json()["used"]
        assert (used["queued"], used["running"]) == (2, 0)


def test_whose_runs_wait_for_the_owner_s_others_says_so(
    tmp_path: Path, sqlite_template: Path
) -> None:
    with limited(tmp_path, sqlite_template, limit_running_per_owner=1) as desk:
        usual = (Scope.READ, Scope.SUBMIT)
        ada, ben = make_key(desk.db, *usual), make_key(desk.db, *usual, owner="ben")
        made = [ask(desk, key, "POST", json=TWO_RUNS).json() for key in (ada, ada, ben)]
        assert [one["queue"]["reason"] for one in made] == [None] * 3
        desk.http.headers["Authorization"] = f"Bearer {ada}"
        claimed = desk.claim(made[0]["id"])
        assert claimed is not None
        why = "its owner has 1 under way, and limit_running_per_owner is 1"
        held = [f"2 of its runs wait: {why}", f"a run of it waits: {why}"]
        listed = desk.get("/experiments")["items"]
        assert [one["queue"]["reason"] for one in listed] == held
        assert desk.get(f"/experiments/{made[0]['id']}")["queue"]["reason"] == held[1]
        assert why in desk.http.get(f"/view/{made[1]['id']}").text
        assert (
            ask(desk, ben, path=f"/experiments/{made[2]['id']}").json()["queue"]["reason"] is None
        )
        desk.finish(claimed)
        assert desk.get(f"/experiments/{made[0]['id']}")["queue"]["reason"] is None


def test_a_preview_warns_of_every_limit_that_a_submission_would_be_over(
    tmp_path: Path, sqlite_template: Path
) -> None:
    bounds = {"limit_queued_per_owner": 1, "max_queued_runs": 2, "max_stored_bytes": 10}
    with limited(tmp_path, sqlite_template, **bounds) as desk:
        ada = make_key(desk.db)
        desk.http.headers["Authorization"] = f"Bearer {ada}"

        def warned(body: dict[str, Any]) -> list[str]:
            preview = desk.http.post("/experiments/preview", json=body).json()
            return [
                one for one in preview["warnings"] if one.startswith("it would be refused now: ")
            ]

        one_run = {**TWO_RUNS, "sweep": {}, "reuse": True}
        assert warned(one_run) == []
        told = "limit_queued_per_owner: 0 runs of yours wait and this adds 2; the limit is 1"
        assert warned(TWO_RUNS) == [f"it would be refused now: {told}"]
        made = desk.submit(one_run)["id"]
        assert len(warned(TWO_RUNS)) == 2, "of its owner, and of all"
        assert warned(one_run) == [], "it is answered by the one that waits"
        desk.work(made)
    with serving(make_settings(tmp_path, **bounds)) as desk:
        desk.http.headers["Authorization"] = f"Bearer {ada}"
        (warning,) = warned({**one_run, "seeds": [7]})
        assert "max_stored_bytes" in warning
        assert desk.num_experiments() == 1


def test_what_was_retried_waits_again(tmp_path: Path, sqlite_template: Path) -> None:
    with limited(tmp_path, sqlite_template, limit_queued_per_owner=2) as desk:
        ada = make_key(desk.db)
        made = ask(desk, ada, "POST", json=TWO_RUNS).json()["id"]
        desk.http.headers["Authorization"] = f"Bearer {ada}"
        while (claimed := desk.claim(made)) is not None:
            desk.fail(claimed)
        assert ask(desk, ada, "POST", json=TWO_RUNS).status_code == 201
        over = desk.http.post(f"/experiments/{made}/retry")
        assert refused(over) == (429, "limit-exceeded", ["limit_queued_per_owner"])
        assert desk.get(f"/experiments/{made}")["status"] == "failed", "nothing was queued again"


def test_all_limits_that_are_met_are_told_at_once(tmp_path: Path, sqlite_template: Path) -> None:
    bounds = {
        "limit_queued_per_owner": 1,
        "limit_bytes_per_owner": 10,
        "limit_metrics_per_owner": 3,
    }
    of_all = {"max_queued_runs": 1, "max_stored_bytes": 10, "max_metric_rows": 3}
    with limited(tmp_path, sqlite_template, **bounds, **of_all) as desk:
        ada = make_key(desk.db)
        one_run = {**TWO_RUNS, "sweep": {}}
        made = ask(desk, ada, "POST", json=one_run).json()["id"]
        desk.http.headers["Authorization"] = f"Bearer {ada}"
        desk.work(made)
        with desk.db.read() as session:
            stored = count_stored_bytes(session, "ada"), count_metric_rows(session, "ada")
            assert (count_stored_bytes(session, "ben"), count_metric_rows(session, "ben")) == (0, 0)
            assert sum(count_active(session, "ada").values()) == 0
        assert (stored[0] > 10, stored[1] > 3) == (True, True)
    with serving(make_settings(tmp_path, **bounds, **of_all)) as desk:
        over = ask(desk, ada, "POST", json=TWO_RUNS)
        names = [
            "limit_bytes_per_owner",
            "limit_metrics_per_owner",
            "max_stored_bytes",
            "max_metric_rows",
        ]
        assert refused(over) == (
            422,
            "limit-exceeded",
            [*names, "limit_queued_per_owner", "max_queued_runs"],
        )
        assert f"{stored[0]:,} bytes of yours are stored; the limit is 10" in over.json()["detail"]
        assert desk.num_experiments() == 1
        used = ask(desk, ada, path="/limits").json()["used"]
        assert (used["bytes"], used["metric_rows"]) == stored


def test_a_file_that_is_over_the_owner_s_bytes_is_not_stored(
    tmp_path: Path, sqlite_template: Path
) -> None:
    npz, weights = make_npz(), make_file(SHAPES)
    with limited(
        tmp_path, sqlite_template, limit_bytes_per_owner=len(npz) + len(weights) - 1
    ) as desk:
        ada, ben = make_key(desk.db), make_key(desk.db, owner="ben")
        sent = {"content": npz, "params": {"name": "mine"}}
        assert ask(desk, ada, "POST", "/datasets", **sent).status_code == 201
        over = ask(desk, ada, "POST", "/checkpoints", content=weights)
        assert refused(over) == (422, "limit-exceeded", ["limit_bytes_per_owner"])
        assert f"this adds {len(weights):,}" in over.json()["detail"]
        assert ask(desk, ada, path="/checkpoints").json()["items"] == []
        assert ask(desk, ben, "POST", "/checkpoints", content=weights).status_code == 201


def test_an_import_that_is_over_is_not_stored(tmp_path: Path, sqlite_template: Path) -> None:
    home, other = tmp_path / "one", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    with limited(home, sqlite_template) as desk:
        made = desk.submit(TWO_RUNS)["id"]
        desk.work(made)
        archive = desk.http.get(f"/experiments/{made}/export", params={"files": "true"}).content
    with limited(
        other, sqlite_template, limit_metrics_per_owner=3, limit_bytes_per_owner=10
    ) as desk:
        over = ask(desk, make_key(desk.db), "POST", "/import", content=archive)
        names = ["limit_bytes_per_owner", "limit_metrics_per_owner"]
        assert refused(over) == (422, "limit-exceeded", names)
        assert desk.num_experiments() == 0


def test_the_limits_in_force_can_be_read(desk: Desk) -> None:
    with Client(str(desk.http.base_url)) as client:
        found = client.limits()
    used = found.pop("used")
    assert found == {name: getattr(desk.settings, name) for name in found}
    bounds = [name for name in type(desk.settings).model_fields if name.startswith("limit_")]
    assert len(bounds) == 4
    assert set(bounds) <= set(found)
    assert set(used) == {"queued", "running", "bytes", "metric_rows"}
