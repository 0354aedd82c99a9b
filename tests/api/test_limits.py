"""Rate limits of keys and quotas of owners."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.middleware.rate_limits import RateLimit
from richregime import Client
from schemas.access import Scope
from storage.access.quota_usage import count_active, count_metric_rows, count_stored_bytes
from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz
from tests.postgres import new_database

TWO_RUNS: dict[str, Any] = {
    "spec": {"kind": "train"},
    "sweep": {"model.width": [5, 6]},
    "seeds": [0],
    "reuse": False,
}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The setting of a new database."""
    if request.param == "sqlite":
        yield {}
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        yield {"database_url": url}


@contextmanager
def limited(home: Path, template: Path, **values: Any) -> Iterator[ApiServer]:
    shutil.copyfile(template, home / "richregime.sqlite3")
    with serve_api(make_settings(home, **values)) as opened:
        yield opened


def refused(response: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, code, and the settings in the errors."""
    problem = response.json()
    return (
        response.status_code,
        problem["code"],
        [one["detail"].partition(":")[0] for one in problem["errors"]],
    )


def test_reads_and_writes_of_a_key_have_separate_limits(
    tmp_path: Path, sqlite_template: Path
) -> None:
    with limited(
        tmp_path, sqlite_template, max_reads_per_minute=4, max_writes_per_minute=2
    ) as api_server:
        ada, ben = make_key(api_server.db), make_key(api_server.db, Scope.READ, owner="ben")
        for left in (1, 0):
            response = request_with_key(api_server, ada, "POST", json=TWO_RUNS)
            assert response.status_code == 201
            assert response.headers["RateLimit-Policy"].startswith('"writes";q=2;w=60, "cpu-')
            assert response.headers["RateLimit"].startswith(f'"writes";r={left};t=')
        over = request_with_key(api_server, ada, "POST", json=TWO_RUNS)
        assert (over.status_code, over.json()["code"]) == (429, "rate-limited")
        assert 1 <= int(over.headers["Retry-After"]) <= 60
        assert over.headers["RateLimit"] == f'"writes";r=0;t={over.headers["Retry-After"]}'
        assert (
            request_with_key(
                api_server, ada, "POST", "/experiments/preview", json=TWO_RUNS
            ).status_code
            == 200
        ), "a read"
        assert [request_with_key(api_server, ada).status_code for _ in range(4)] == [
            200,
            200,
            200,
            429,
        ]
        assert request_with_key(api_server, ben).status_code == 200
        assert api_server.count_experiments() == 2


def test_requests_without_keys_are_not_limited(tmp_path: Path, sqlite_template: Path) -> None:
    with limited(
        tmp_path, sqlite_template, max_reads_per_minute=1, max_writes_per_minute=1
    ) as api_server:
        for _ in range(3):
            response = api_server.http.get("/experiments")
            assert response.status_code == 200
            assert "RateLimit" not in response.headers


def test_the_queued_runs_of_an_owner_are_limited(
    tmp_path: Path, sqlite_template: Path, database: dict[str, Any]
) -> None:
    with limited(tmp_path, sqlite_template, limit_queued_per_owner=3, **database) as api_server:
        usual = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
        ada, ben = make_key(api_server.db, *usual), make_key(api_server.db, *usual, owner="ben")
        root = make_key(api_server.db, Scope.ADMIN, owner="root")
        first = request_with_key(api_server, ada, "POST", json=TWO_RUNS).json()["id"]
        for key, path, body in (
            (ada, "/experiments", TWO_RUNS),
            (ada, f"/experiments/{first}/extend", {"seeds": [1]}),
            (root, f"/experiments/{first}/extend", {"seeds": [1]}),
        ):
            over = request_with_key(api_server, key, "POST", path, json=body)
            assert refused(over) == (429, "limit-exceeded", ["limit_queued_per_owner"]), path
            assert over.headers["Retry-After"] == "60"
            assert (
                "2 runs of yours are queued and this adds 2; the limit is 3"
                in over.json()["detail"]
            )
        assert api_server.count_experiments() == 1
        assert request_with_key(api_server, ben, "POST", json=TWO_RUNS).status_code == 201
        used = request_with_key(api_server, ada, path="/limits").json()["used"]
        assert (used["queued"], used["running"]) == (2, 0)


@pytest.mark.parametrize("path", ["/datasets?name=mine", "/checkpoints", "/import"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_refused_before_it_is_received(
    tmp_path: Path,
    sqlite_template: Path,
    database: dict[str, Any],
    path: str,
    is_chunked: bool,
) -> None:
    """An import, whose unpacked size is unknown, where the owner has no room at all."""
    npz = make_npz()
    left = 0 if path == "/import" else 1_000
    limits = {"limit_bytes_per_owner": len(npz) + left, "max_dataset_bytes": 100 << 20}
    with limited(tmp_path, sqlite_template, **limits, **database) as api_server:
        ada, url = make_key(api_server.db, Scope.SUBMIT), api_server.http.base_url
        sent = {"content": npz, "params": {"name": "first"}}
        assert request_with_key(api_server, ada, "POST", "/datasets", **sent).status_code == 201
        size = 50 << 20
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
            f"Authorization: Bearer {ada}\r\n{length}\r\n\r\n"
        )
        part = b"x" * (size // 10)
        if is_chunked:
            part = f"{len(part):x}\r\n".encode() + part + b"\r\n"
        with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
            connection.sendall(head.encode() + part)
            answer = b""  # while nine tenths are not sent
            while b"limit_bytes_per_owner" not in answer and (got := connection.recv(65_536)):
                answer += got
        assert answer.startswith(b"HTTP/1.1 422 ")
        assert b"limit_bytes_per_owner" in answer


def test_a_run_that_waits_for_its_owner_s_limit_has_a_reason(
    tmp_path: Path, sqlite_template: Path
) -> None:
    with limited(tmp_path, sqlite_template, limit_running_per_owner=1) as api_server:
        usual = (Scope.READ, Scope.SUBMIT)
        ada, ben = make_key(api_server.db, *usual), make_key(api_server.db, *usual, owner="ben")
        announce_worker(api_server)
        made = [
            request_with_key(api_server, key, "POST", json=TWO_RUNS).json()
            for key in (ada, ada, ben)
        ]
        assert [one["queue"]["reason"] for one in made] == [None] * 3
        api_server.http.headers["Authorization"] = f"Bearer {ada}"
        claimed = api_server.claim_run(made[0]["id"])
        assert claimed is not None
        why = "the owner has 1 running, and limit_running_per_owner is 1"
        held = [f"2 runs wait: {why}", f"1 run waits: {why}"]
        listed = api_server.get("/experiments")["items"]
        assert [one["queue"]["reason"] for one in listed] == held
        assert api_server.get(f"/experiments/{made[0]['id']}")["queue"]["reason"] == held[1]
        assert why in api_server.http.get(f"/view/{made[1]['id']}").text
        assert (
            request_with_key(api_server, ben, path=f"/experiments/{made[2]['id']}").json()["queue"][
                "reason"
            ]
            is None
        )
        api_server.finish_run(claimed)
        assert api_server.get(f"/experiments/{made[0]['id']}")["queue"]["reason"] is None


def test_a_preview_warns_of_every_limit_that_the_submission_would_exceed(
    tmp_path: Path, sqlite_template: Path
) -> None:
    bounds = {"limit_queued_per_owner": 1, "max_queued_runs": 2, "max_stored_bytes": 10}
    with limited(tmp_path, sqlite_template, **bounds) as api_server:
        ada = make_key(api_server.db)
        api_server.http.headers["Authorization"] = f"Bearer {ada}"

        def warned(body: dict[str, Any]) -> list[str]:
            preview = api_server.http.post("/experiments/preview", json=body).json()
            return [
                one for one in preview["warnings"] if one.startswith("it would be refused now: ")
            ]

        one_run = {**TWO_RUNS, "sweep": {}, "reuse": True}
        assert warned(one_run) == []
        error = "limit_queued_per_owner: 0 runs of yours are queued and this adds 2; the limit is 1"
        assert warned(TWO_RUNS) == [f"it would be refused now: {error}"]
        made = api_server.submit(one_run)["id"]
        assert len(warned(TWO_RUNS)) == 2, "of its owner, and of all"
        assert warned(one_run) == [], "it is answered by the one that waits"
        api_server.finish_all_runs(made)
    with serve_api(make_settings(tmp_path, **bounds)) as api_server:
        api_server.http.headers["Authorization"] = f"Bearer {ada}"
        (warning,) = warned({**one_run, "seeds": [7]})
        assert "max_stored_bytes" in warning
        assert api_server.count_experiments() == 1


def test_retried_runs_count_as_queued(
    tmp_path: Path, sqlite_template: Path, database: dict[str, Any]
) -> None:
    with limited(tmp_path, sqlite_template, limit_queued_per_owner=2, **database) as api_server:
        ada = make_key(api_server.db)
        made = request_with_key(api_server, ada, "POST", json=TWO_RUNS).json()["id"]
        api_server.http.headers["Authorization"] = f"Bearer {ada}"
        while (claimed := api_server.claim_run(made)) is not None:
            api_server.fail_run(claimed)
        assert request_with_key(api_server, ada, "POST", json=TWO_RUNS).status_code == 201
        over = api_server.http.post(f"/experiments/{made}/retry")
        assert refused(over) == (429, "limit-exceeded", ["limit_queued_per_owner"])
        assert api_server.get(f"/experiments/{made}")["status"] == "failed", (
            "nothing was queued again"
        )


def test_all_exceeded_limits_are_listed_in_one_response(
    tmp_path: Path, sqlite_template: Path
) -> None:
    bounds = {
        "limit_queued_per_owner": 1,
        "limit_bytes_per_owner": 10,
        "limit_metrics_per_owner": 3,
    }
    of_all = {"max_queued_runs": 1, "max_stored_bytes": 10, "max_metric_rows": 3}
    with limited(tmp_path, sqlite_template, **bounds, **of_all) as api_server:
        ada = make_key(api_server.db)
        one_run = {**TWO_RUNS, "sweep": {}}
        made = request_with_key(api_server, ada, "POST", json=one_run).json()["id"]
        api_server.http.headers["Authorization"] = f"Bearer {ada}"
        api_server.finish_all_runs(made)
        with api_server.db.read() as session:
            stored = count_stored_bytes(session, "ada"), count_metric_rows(session, "ada")
            assert (count_stored_bytes(session, "ben"), count_metric_rows(session, "ben")) == (0, 0)
            assert sum(count_active(session, "ada").values()) == 0
        assert (stored[0] > 10, stored[1] > 3) == (True, True)
    with serve_api(make_settings(tmp_path, **bounds, **of_all)) as api_server:
        over = request_with_key(api_server, ada, "POST", json=TWO_RUNS)
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
        assert api_server.count_experiments() == 1
        used = request_with_key(api_server, ada, path="/limits").json()["used"]
        assert (used["bytes"], used["metric_rows"]) == stored


def test_a_file_over_the_owner_s_limit_is_not_stored(
    tmp_path: Path, sqlite_template: Path, database: dict[str, Any]
) -> None:
    npz, weights = make_npz(), make_checkpoint(CHECKPOINT_SHAPES)
    limits = {"limit_bytes_per_owner": len(npz) + len(weights) - 1}
    with limited(tmp_path, sqlite_template, **limits, **database) as api_server:
        ada, ben = make_key(api_server.db), make_key(api_server.db, owner="ben")
        sent = {"content": npz, "params": {"name": "mine"}}
        assert request_with_key(api_server, ada, "POST", "/datasets", **sent).status_code == 201
        over = request_with_key(api_server, ada, "POST", "/checkpoints", content=weights)
        assert refused(over) == (422, "limit-exceeded", ["limit_bytes_per_owner"])
        assert f"this adds {len(weights):,}" in over.json()["detail"]
        assert request_with_key(api_server, ada, path="/checkpoints").json()["items"] == []
        assert (
            request_with_key(api_server, ben, "POST", "/checkpoints", content=weights).status_code
            == 201
        )
        over = request_with_key(api_server, ben, "POST", "/datasets", **sent)
        assert refused(over) == (422, "limit-exceeded", ["limit_bytes_per_owner"])


def test_an_import_over_a_limit_is_not_stored(
    tmp_path: Path, sqlite_template: Path, database: dict[str, Any]
) -> None:
    home, other = tmp_path / "one", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    with limited(home, sqlite_template) as api_server:
        made = api_server.submit(TWO_RUNS)["id"]
        api_server.finish_all_runs(made)
        archive = api_server.http.get(
            f"/experiments/{made}/export", params={"files": "true"}
        ).content
    limits = {"limit_metrics_per_owner": 3, "limit_bytes_per_owner": 10}
    with limited(other, sqlite_template, **limits, **database) as api_server:
        over = request_with_key(
            api_server, make_key(api_server.db), "POST", "/import", content=archive
        )
        names = ["limit_bytes_per_owner", "limit_metrics_per_owner"]
        assert refused(over) == (422, "limit-exceeded", names)
        assert api_server.count_experiments() == 0


def test_limits_returns_the_settings_in_force(api_server: ApiServer) -> None:
    with Client(str(api_server.http.base_url)) as client:
        found = client.limits().model_dump()
    used = found.pop("used")
    assert found.pop("scopes") == list(Scope), "no key is required"
    assert found == {name: getattr(api_server.settings, name) for name in found}
    bounds = [name for name in type(api_server.settings).model_fields if name.startswith("limit_")]
    assert len(bounds) == 5
    assert set(bounds) <= set(found)
    assert set(used) == {"queued", "running", "bytes", "metric_rows"}


def test_a_clock_that_is_set_back_does_not_block_a_client_until_it_arrives_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = RateLimit("reads", 2)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert [limit.count("ada").granted for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(time, "time", lambda: now)
    counted = [limit.count("ada") for _ in range(3)]
    assert [one.granted for one in counted] == [True, True, False]
    assert int(counted[-1].headers["Retry-After"]) <= 60
