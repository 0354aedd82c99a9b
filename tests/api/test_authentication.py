"""Authentication by keys: validity, scopes, expiry."""

from __future__ import annotations

import logging
import re
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import event
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.app import main
from api.middleware.authentication import KEY_CHECK_SECONDS, required_scope
from richregime import Client
from richregime.errors import ProblemError
from schemas.access import Scope
from storage.access.keys import find_key, hash_secret, list_keys, revoke_key
from storage.access.logins import find_login
from storage.database.engine import Database
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key

ROOT = Path(__file__).parents[2]
BODY = {"spec": {"kind": "train"}}


def refused(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["request_id"] == response.headers["X-Request-Id"]
    return problem["status"], problem["code"]


def test_a_service_without_keys_accepts_any_request(api_server: ApiServer) -> None:
    assert request_with_key(api_server, None).status_code == 200
    assert request_with_key(api_server, "rrk_1_2").status_code == 200


def test_a_running_service_requires_keys_from_the_first_key_on(
    api_on_both_databases: ApiServer,
) -> None:
    assert request_with_key(api_on_both_databases, None).status_code == 200
    key = make_key(api_on_both_databases.db)
    deadline = time.monotonic() + KEY_CHECK_SECONDS + 5
    while request_with_key(api_on_both_databases, None).status_code == 200:
        assert time.monotonic() < deadline, "it stays open"
        time.sleep(0.05)
    assert refused(request_with_key(api_on_both_databases, None)) == (401, "unauthorized")
    assert request_with_key(api_on_both_databases, key).status_code == 200
    with api_on_both_databases.db.write() as session:
        revoke_key(session, list_keys(session)[0].id)
    assert refused(request_with_key(api_on_both_databases, None)) == (401, "unauthorized"), (
        "no key holds, and the service stays closed"
    )


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic YTpi", "rrk_1_2", "bearer\trrk_1_2"]
)
def test_a_request_without_a_key_is_unauthorized(
    api_with_keys: ApiServer, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = api_with_keys.http.get("/experiments", headers=headers)
    assert refused(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "richregime keys create" in response.json()["detail"]


def test_unknown_expired_and_revoked_keys_have_different_errors(api_with_keys: ApiServer) -> None:
    expired, revoked = make_key(api_with_keys.db, seconds=-1), make_key(api_with_keys.db)
    assert request_with_key(api_with_keys, revoked).status_code == 200
    with api_with_keys.db.write() as session:
        revoke_key(session, revoked[: revoked.index("_", 4)])
    for key, word in (("rrk_0_" + 43 * "x", "know"), (expired, "expired"), (revoked, "revoked")):
        response = request_with_key(api_with_keys, key)
        assert refused(response) == (401, "unauthorized")
        assert word in response.json()["detail"]
        assert key not in response.text
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_key_expires_between_requests(api_with_keys: ApiServer) -> None:
    key = make_key(api_with_keys.db, seconds=0.5)
    assert request_with_key(api_with_keys, key).status_code == 200
    time.sleep(0.6)
    assert refused(request_with_key(api_with_keys, key)) == (401, "unauthorized")


def test_an_altered_key_is_refused(api_with_keys: ApiServer) -> None:
    key = make_key(api_with_keys.db)
    for wrong in (key[:-1], f"{key}x", key.upper(), key.removeprefix("rrk_")):
        assert refused(request_with_key(api_with_keys, wrong)) == (401, "unauthorized")
    assert api_with_keys.http.get("/experiments", params={"key": key}).status_code == 401, (
        "headers only"
    )


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.READ, "GET", "/experiments"),
        (Scope.READ, "POST", "/experiments/preview"),
        (Scope.SUBMIT, "POST", "/experiments"),
        (Scope.SUBMIT, "POST", "/experiments/exp_1/retry"),
        (Scope.SUBMIT, "PATCH", "/experiments/exp_1"),
        (Scope.CANCEL, "POST", "/experiments/exp_1/cancel"),
        (Scope.CANCEL, "DELETE", "/experiments/exp_1"),
        (Scope.SUBMIT, "DELETE", "/datasets/mine"),
        (Scope.SUBMIT, "DELETE", "/checkpoints/wts_1"),
        (Scope.ADMIN, "GET", "/storage"),
    ],
)
def test_each_request_requires_its_scope(
    api_with_keys: ApiServer, scope: Scope, method: str, path: str
) -> None:
    others = [one for one in Scope if one not in (scope, Scope.ADMIN)]
    response = request_with_key(
        api_with_keys, make_key(api_with_keys.db, *others), method, path, json=BODY
    )
    assert refused(response) == (403, "forbidden")
    assert (
        response.headers["WWW-Authenticate"]
        == f'Bearer error="insufficient_scope", scope="{scope}"'
    )
    for holding in (scope, Scope.ADMIN):
        response = request_with_key(
            api_with_keys, make_key(api_with_keys.db, holding), method, path, json=BODY
        )
        assert response.status_code in (200, 201, 404, 422), response.text


def test_the_guide_s_table_says_which_scope_deletes_what() -> None:
    page = (ROOT / "docs" / "how-to" / "access.md").read_text(encoding="utf-8")
    allows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert set(allows) == {str(scope) for scope in Scope}
    for path, what in (
        ("/experiments/exp_1", "experiments"),
        ("/datasets/mine", "data sets"),
        ("/checkpoints/wts_1", "checkpoints"),
    ):
        needed = required_scope("DELETE", path)
        named = re.compile(rf"deleting [^;]*{what}")
        says = {scope for scope, text in allows.items() if named.search(text)}
        assert says == {str(needed)}, what


def test_health_probes_and_style_sheets_need_no_key(api_with_keys: ApiServer) -> None:
    assert request_with_key(api_with_keys, None, path="/healthz").status_code == 200
    assert request_with_key(api_with_keys, None, path="/readyz").status_code == 503  # no worker
    assert request_with_key(api_with_keys, None, path="/assets/page.css").status_code == 200
    for path in (
        "/docs",
        "/openapi.json",
        "/",
        "/guide",
        "/nothing",
        "/assets",
        "/healthz/",
        "/static-offline-docs/x",
    ):
        assert request_with_key(api_with_keys, None, path=path).status_code == 401, path


def test_a_browser_gets_a_refusal_as_a_page(api_with_keys: ApiServer) -> None:
    response = request_with_key(
        api_with_keys, "rrk_0_0", path="/view/exp_1", headers={"Accept": "text/html"}
    )
    assert response.status_code == 401
    assert "does not know the key" in response.text


def test_keys_are_stored_as_hashes_and_never_logged(
    api_with_keys: ApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(api_with_keys.db)
    monkeypatch.setattr("api.routes.service.read_queue", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.DEBUG):
        assert request_with_key(api_with_keys, key, path="/queue").status_code == 500
    secret = key.rpartition("_")[2] if "_" not in key[30:] else key[30:]
    assert secret not in caplog.text
    with api_with_keys.db.read() as session:
        assert all(
            secret not in repr(row) and row.sha256 not in repr(row) for row in list_keys(session)
        )
    home = api_with_keys.settings.home
    assert not [
        path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_a_public_address_is_served_when_a_key_exists(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    db = Database(f"sqlite:///{tmp_path / 'richregime.sqlite3'}")
    make_key(db)
    db.dispose()
    served: list[dict[str, Any]] = []
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: served.append(options))
    assert main(["--host", "0.0.0.0", "--port", "8001"]) == 0
    assert (served[0]["host"], served[0]["port"]) == ("0.0.0.0", 8001)


def test_on_a_public_address_every_host_name_is_accepted_with_a_key(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, host="0.0.0.0")) as opened:
        response = opened.http.get("/experiments", headers={"Host": "lab.example.org"})
        assert refused(response) == (401, "unauthorized"), "although there is no key"


def test_behind_a_proxy_no_key_is_required_until_one_exists(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    host = {"Host": "lab.example.org"}
    with serve_api(make_settings(tmp_path, host="0.0.0.0", allow_public=True)) as opened:
        assert opened.http.get("/experiments", headers=host).status_code == 200
        make_key(opened.db)
        time.sleep(KEY_CHECK_SECONDS + 0.1)
        assert refused(opened.http.get("/experiments", headers=host)) == (401, "unauthorized")


def test_the_client_sends_its_key_argument_or_that_of_the_environment(
    api_with_keys: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = str(api_with_keys.http.base_url), make_key(api_with_keys.db)
    monkeypatch.delenv("RICHREGIME_KEY", raising=False)
    with Client(url) as client, pytest.raises(ProblemError, match="unauthorized"):
        client.list()
    with Client(url, key=key) as client:
        assert client.list().items is not None
    monkeypatch.setenv("RICHREGIME_KEY", key)
    with Client(url) as client:
        experiment = client.submit(BODY["spec"])
        assert client.get(experiment.id).id == experiment.id


def test_openapi_names_the_scope_of_each_operation(api_server: ApiServer) -> None:
    description = api_server.get("/openapi.json")
    assert description["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert description["paths"]["/healthz"]["get"]["security"] == [{}]
    assert description["paths"]["/experiments"]["post"]["security"] == [{"key": ["submit"]}, {}]
    assert description["paths"]["/experiments/{experiment_id}/cancel"]["post"]["security"][0] == {
        "key": ["cancel"]
    }


def send_invalid_keys(home: Path, template: Path) -> list[int]:
    """The statuses of five requests with invalid keys, each with another `X-Forwarded-For`."""
    shutil.copyfile(template, home / "richregime.sqlite3")
    with serve_api(make_settings(home, max_failed_keys_per_minute=3)) as opened:
        make_key(opened.db)
        return [
            request_with_key(
                opened, f"wrong-{number}", headers={"X-Forwarded-For": f"203.0.113.{number}"}
            ).status_code
            for number in range(5)
        ]


@pytest.mark.parametrize("configured", [None, "", "192.0.2.1"])
def test_another_forwarded_address_for_each_invalid_key_does_not_evade_the_limit(
    tmp_path: Path,
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: str | None,
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if configured is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", configured)
    assert send_invalid_keys(tmp_path, sqlite_template) == [401, 401, 401, 429, 429]


def test_the_command_leaves_forwarded_addresses_to_the_service(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uvicorn would trust them from this machine."""
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    served: list[uvicorn.Config] = []
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setattr(
        uvicorn, "run", lambda app, **options: served.append(uvicorn.Config(app, **options))
    )
    assert main([]) == 0
    served[0].load()
    layers, layer = [], served[0].loaded_app
    while layer is not None:
        layers.append(type(layer))
        layer = getattr(layer, "app", None)
    assert ProxyHeadersMiddleware not in layers


def test_clients_of_a_configured_proxy_have_limits_of_their_own(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    assert send_invalid_keys(tmp_path, sqlite_template) == [401] * 5


def test_a_key_and_a_login_are_looked_up_by_their_hash_only(sqlite_url: str) -> None:
    """So the time of a look-up says nothing about the characters of a key."""
    db = Database(sqlite_url)
    key = make_key(db)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append(f"{statement} {values}")

    with db.read() as session:
        event.listen(session.get_bind(), "before_cursor_execute", note)
        assert find_key(session, key) is not None
        assert find_key(session, key[:-1] + "x") is None
        assert find_login(session, key) is None
    db.dispose()
    assert len(asked) == 3
    assert sum(hash_secret(key) in one for one in asked) == 2
    for one in asked:
        assert not any(part in one for part in (key, key[:-1], key[4:20], key[-20:-1]))
