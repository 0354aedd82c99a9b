"""The endpoint `/mcp` with the official client: keys, owners, rates, origins, many at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from ops.mcp_endpoint import add_mcp
from ops.up import Stack
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.keys import find_key
from storage.database.engine import Database
from tests.api.api_server import ApiServer, make_settings, serve
from tests.api.keys import make_key
from tests.client.mcp_hostile_arguments import SMALL, refuse_hostile_arguments
from tests.client.mcp_sessions import Session, id_in, over_http, run_over_http

ERAS = ("auto", "legacy")
"""The protocol without a handshake (2026), and that with one (2025)"""
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream"}


@contextmanager
def serve_mcp(home: Path, **values: Any) -> Iterator[ApiServer]:
    """An API of its own with the endpoint; it has a key from the start."""
    settings = make_settings(home, mcp=True, **values)
    database = Database(settings.resolved_database_url)
    database.upgrade()
    make_key(database)
    database.dispose()
    app = create_app(settings)
    add_mcp(app, settings)
    with serve(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        state = app.state.richregime
        yield ApiServer(http, settings, state.db, state.blobs)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with serve_mcp(tmp_path_factory.mktemp("mcp")) as opened:
        yield opened


def url_of(service: ApiServer) -> str:
    return str(service.http.base_url)


def post(service: ApiServer, key: str | None = None, **more: Any) -> httpx.Response:
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    headers = {**HEADERS, **shown, **more.pop("headers", {})}
    return service.http.post("/mcp", **{"json": LIST, **more}, headers=headers)


@pytest.mark.parametrize("mode", ERAS)
def test_a_tool_is_offered_where_the_key_may_use_it(service: ApiServer, mode: str) -> None:
    def offered(*scopes: Scope) -> list[str]:
        key = make_key(service.db, *scopes)
        return run_over_http(Session.tool_names, url_of(service), key=key, mode=mode)

    everything = offered(Scope.ADMIN)
    assert {"kinds", "preview", "submit", "wait", "plot", "cancel"} <= set(everything)
    assert set(everything) - set(offered(Scope.READ)) == {"submit", "cancel"}
    assert set(everything) - set(offered(Scope.READ, Scope.SUBMIT)) == {"cancel"}


@pytest.mark.parametrize("mode", ERAS)
def test_hostile_arguments_get_short_errors_with_pointers(service: ApiServer, mode: str) -> None:
    async def scenario(session: Session) -> None:
        await refuse_hostile_arguments(session, largest=service.settings.max_body_bytes - 1_000)

    run_over_http(scenario, url_of(service), key=make_key(service.db), mode=mode)


def test_without_a_valid_key_nothing_is_reached(service: ApiServer) -> None:
    for key, expected in ((None, "requires a key"), ("rrk_of_nobody", "does not know the key")):
        refused = post(service, key)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert expected in refused.json()["detail"]
    late = make_key(service.db, Scope.CANCEL)
    refused = post(service, late)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_the_calls_are_those_of_the_caller(
    service: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners are apart, the audit trail names the key, and no key of this process is used."""
    monkeypatch.setenv("RICHREGIME_KEY", make_key(service.db, Scope.ADMIN, owner="operator"))
    keys = {name: make_key(service.db, *ALL, owner=name) for name in ("ada", "ben")}

    async def submit(session: Session) -> str:
        text = await session.answer("submit", body={"spec": {**SMALL, "epochs": 31}})
        return id_in(text)

    async def look(session: Session) -> str:
        return await session.refusal("get", id=found)

    async def submit_as_reader(session: Session) -> str:
        return await session.refusal("submit", body={"spec": SMALL})

    found = run_over_http(submit, url_of(service), key=keys["ada"])
    assert "not-found (404)" in run_over_http(look, url_of(service), key=keys["ben"])
    reader = make_key(service.db, Scope.READ)
    assert "this needs submit" in run_over_http(submit_as_reader, url_of(service), key=reader)
    admin = {"Authorization": f"Bearer {make_key(service.db, Scope.ADMIN)}"}
    shown = service.http.get(f"/experiments/{found}", headers=admin).json()
    entries = service.http.get("/audit", params={"target": found}, headers=admin).json()["items"]
    with service.db.read() as session:
        row = find_key(session, keys["ada"])
    assert row is not None
    assert shown["owner"] == "ada"
    assert [(one["action"], one["key_id"]) for one in entries] == [("submitted", row.id)]


ALL = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)


def test_a_login_of_a_browser_reaches_no_tool(
    service: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cookie belongs to pages, and the key of the API's environment to nobody here."""
    key = make_key(service.db)
    monkeypatch.setenv("RICHREGIME_KEY", key)
    with httpx.Client(base_url=url_of(service)) as browser:
        logged_in = browser.post(
            "/login", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        assert logged_in.status_code < 400
        call = {"name": "kinds", "arguments": {}}
        answer = browser.post(
            "/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
            headers={**HEADERS, "Sec-Fetch-Site": "same-origin"},
        )
    assert "unauthorized (401)" in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Accept": "text/html"}, 406),
    ],
)
def test_a_page_of_another_site_reaches_nothing(
    service: ApiServer, headers: dict[str, str], status: int
) -> None:
    refused = post(service, make_key(service.db), headers=headers)
    assert refused.status_code == status, refused.text
    assert "tools" not in refused.text


def test_wrong_messages_are_refused(service: ApiServer) -> None:
    key = make_key(service.db)
    shown = {"Authorization": f"Bearer {key}"}
    assert service.http.get("/mcp", headers={**HEADERS, **shown}).status_code == 405
    assert service.http.delete("/mcp", headers={**HEADERS, **shown}).status_code in (403, 405)
    large = post(service, key, json={**LIST, "params": {"x": "x" * 300_000}})
    assert large.status_code == 413
    for content in (b"", b"nonsense", b"[" * 100_000, b"\xff\xfe", b"null", b"[]"):
        answer = post(
            service, key, json=None, content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, content[:9]
        assert "Traceback" not in answer.text


def test_invalid_keys_are_limited_by_address(tmp_path: Path) -> None:
    with serve_mcp(tmp_path, max_failed_keys_per_minute=3) as service:
        codes = [post(service, f"rrk_wrong_{number}").status_code for number in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert post(service, make_key(service.db)).status_code == 200


def test_the_rates_of_the_key_hold(tmp_path: Path) -> None:
    """A call is a read, and so is the request that it makes."""
    call = {"name": "get", "arguments": {"id": "exp_none"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    with serve_mcp(tmp_path, max_reads_per_minute=5) as service:
        key = make_key(service.db, Scope.READ)
        answers = [post(service, key, json=message) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "not-found (404)" in answers[1].text
    assert "rate-limited (429)" in answers[2].text


def test_many_waits_of_one_owner_hold_nobody_up(service: ApiServer) -> None:
    """Each would keep one of the few turns of its owner, and its own requests would wait for it."""
    key = make_key(service.db, *ALL, owner="cleo")

    async def wait(experiment_id: str) -> str:
        async with over_http(url_of(service), key=key) as session:
            return await session.answer("wait", id=experiment_id, seconds=2)

    async def scenario() -> float:
        async with over_http(url_of(service), key=key) as session:
            text = await session.answer("submit", body={"spec": {**SMALL, "epochs": 37}})
            waits = [asyncio.create_task(wait(id_in(text))) for _ in range(12)]
            await asyncio.sleep(1)
            began = time.monotonic()
            await session.answer("kinds")
            seconds = time.monotonic() - began
            assert all("Call wait again" in text for text in await asyncio.gather(*waits))
            return seconds

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) < 10


def test_below_a_path_the_addresses_are_those_that_the_caller_reaches(tmp_path: Path) -> None:
    async def scenario(session: Session) -> str:
        return await session.answer("submit", body={"spec": SMALL})

    with serve_mcp(tmp_path, root_path="/lab") as service:
        text = run_over_http(scenario, url_of(service), key=make_key(service.db))
        assert f'"page": "{url_of(service)}/lab/view/exp_' in text


def test_the_endpoint_is_off_unless_asked_for(tmp_path: Path, live_url: str) -> None:
    assert Settings(home=tmp_path).mcp is False
    assert httpx.post(f"{live_url}/mcp", json=LIST, headers=HEADERS).status_code == 404


def test_an_api_without_the_endpoint_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.app", "--port", "0"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path))}
        | {"RICHREGIME_HOME": str(tmp_path), "RICHREGIME_MCP": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("RICHREGIME_MCP is true, but this program has no endpoint /mcp")


def test_a_missing_package_is_named() -> None:
    script = (
        "import sys; sys.modules['mcp'] = None\n"
        "from ops.api_with_mcp import main\n"
        "sys.exit(main([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "RICHREGIME_MCP: mcp is not installed: pip install 'richregime[mcp]'\n"


@pytest.fixture(scope="module")
def whole_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of broker, API and workers."""
    home = tmp_path_factory.mktemp("whole")
    with Stack(home, 0, settings=make_settings(home, mcp=True)) as stack:
        yield stack.url


@pytest.mark.parametrize(("mode", "seed"), [("auto", 0), ("legacy", 4)])
def test_a_whole_service_computes_what_is_submitted(
    whole_service: str, mode: str, seed: int
) -> None:
    async def scenario(session: Session) -> None:
        seeds = [seed, seed + 1]
        submitted = await session.answer("submit", body={"spec": SMALL, "seeds": seeds})
        experiment_id = id_in(submitted)
        waited = json.loads(await session.answer("wait", id=experiment_id, seconds=55))
        assert (waited["status"], waited["terminal"]) == ("succeeded", True)
        assert session.progress
        assert session.progress[-1][:2] == (100.0, 100.0)
        assert "accuracy" in await session.answer("result", id=experiment_id)
        others = [seed + 2, seed + 3]
        second = id_in(await session.answer("submit", body={"spec": SMALL, "seeds": others}))
        await session.answer("wait", id=second, seconds=55)
        report = await session.answer("report", id=experiment_id, also=[second])
        while "[cut: " in report[-300:]:
            report, _, end = report.rpartition("\n[cut: ")
            assert f"/experiments/{experiment_id}/report.md?also={second}]" in end
            offset = int(end.partition("offset=")[2].partition(",")[0])
            report += await session.answer("report", id=experiment_id, also=[second], offset=offset)
        assert report.count("How to run it again") == 2
        assert "base64" not in report
        failed, image = await session.call("plot", id=experiment_id, name="learning_curve")
        assert not failed
        assert len(image) > 1_000

    run_over_http(scenario, whole_service, mode=mode)
