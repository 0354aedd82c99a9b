"""Login by a page: redirects, the cookie, its scopes and its end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api.middleware.authentication import COOKIE
from schemas.access import Scope
from storage.access.keys import find_key, list_keys, revoke_key
from storage.access.logins import create_login
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key
from tests.api.page_reader import PageReader

HTML = {"Accept": "text/html"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
BODY = {"spec": {"kind": "train"}, "reuse": False}


@pytest.fixture
def browser(api_with_keys: ApiServer) -> Iterator[httpx.Client]:
    """A client that requests pages and keeps cookies, like a browser."""
    with httpx.Client(base_url=api_with_keys.http.base_url, headers=HTML, timeout=60) as opened:
        yield opened


def log_in(browser: httpx.Client, key: str, wanted: str = "/", **headers: str) -> httpx.Response:
    return browser.post(
        "/login", data={"key": key, "next": wanted}, headers={**OWN_PAGE, **headers}
    )


def is_logged_in(browser: httpx.Client) -> bool:
    response = browser.get("/machines")
    assert response.status_code in (200, 303), response.text
    return response.status_code == 200


def test_a_browser_is_redirected_to_the_login_and_a_program_is_not(
    api_with_keys: ApiServer, browser: httpx.Client
) -> None:
    led = browser.get("/view/exp_1?a=1&b=2")
    assert (led.status_code, led.headers["location"]) == (
        303,
        "/login?next=%2Fview%2Fexp_1%3Fa%3D1%26b%3D2",
    )
    assert browser.get("/").headers["location"] == "/login"
    page = browser.get(led.headers["location"])
    assert page.status_code == 200
    hidden = next(one for one in PageReader(page.text).all("input") if one["type"] == "hidden")
    assert hidden["value"] == "/view/exp_1?a=1&b=2"
    for method, headers in (("GET", {"Accept": "*/*"}), ("POST", HTML)):
        assert (
            api_with_keys.http.request(method, "/experiments", headers=headers).status_code == 401
        )
    assert request_with_key(api_with_keys, "rrk_0_0", headers=HTML).status_code == 401


def test_the_login_page_needs_no_script_and_shows_errors(browser: httpx.Client) -> None:
    for text in (browser.get("/login").text, log_in(browser, "rrk_0_<b>").text):
        reading = PageReader(text)
        assert not reading.all("script")
        assert "key" in [label.get("for") for label in reading.all("label")]
        described = str(reading.with_id("key")["aria-describedby"]).split()
        assert set(described) <= set(reading.ids)
        assert "<b>" not in text
    assert reading.with_id("key")["aria-invalid"] == "true"
    assert reading.with_id("refusal")["role"] == "alert"


def test_a_login_redirects_to_the_requested_page(
    api_with_keys: ApiServer, browser: httpx.Client
) -> None:
    key = make_key(api_with_keys.db, owner="grace")
    response = log_in(browser, f" {key} ", "/machines")
    assert (response.status_code, response.headers["location"]) == (303, "/machines")
    cookie = response.headers["set-cookie"]
    for flag in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800"):
        assert flag in cookie
    assert "Secure" not in cookie
    assert key not in cookie
    page = browser.get("/machines")
    assert "grace" in page.text
    assert "Log out" in page.text
    assert page.headers["cache-control"] == "private, no-store"
    for path in ("/", "/submit", "/guide/access", "/docs", "/openapi.json", "/experiments"):
        assert browser.get(path).status_code == 200, path


def test_behind_tls_the_cookie_is_secure(api_with_keys: ApiServer, browser: httpx.Client) -> None:
    response = log_in(browser, make_key(api_with_keys.db), **{"X-Forwarded-Proto": "https"})
    assert "Secure" in response.headers["set-cookie"]


@pytest.mark.parametrize(
    "wanted",
    [
        "https://example.org/",
        "//example.org/",
        "/\\example.org/",
        "/\t/example.org/",
        "/\n/example.org",
        "javascript:alert(1)",
        "example.org",
        "",
    ],
)
def test_the_login_redirects_only_within_the_service(
    api_with_keys: ApiServer, browser: httpx.Client, wanted: str
) -> None:
    assert log_in(browser, make_key(api_with_keys.db), wanted).headers["location"] == "/"
    hidden = PageReader(browser.get("/login", params={"next": wanted}).text).all("input")[0]
    assert hidden["value"] == "/"


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "{own}"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "{own}"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://example.org"}, False),
    ],
)
def test_with_a_login_only_pages_of_the_service_may_write(
    api_with_keys: ApiServer, browser: httpx.Client, headers: dict[str, str], is_taken: bool
) -> None:
    own = str(api_with_keys.http.base_url).rstrip("/")
    sent = {name: value.format(own=own) for name, value in headers.items()}
    key = make_key(api_with_keys.db)
    assert log_in(browser, key).status_code == 303
    count = len(request_with_key(api_with_keys, key, params={"limit": 200}).json()["items"])
    made = browser.post("/experiments", json=BODY, headers=sent)
    assert made.status_code == (201 if is_taken else 403), made.text
    assert (
        len(request_with_key(api_with_keys, key, params={"limit": 200}).json()["items"])
        == count + is_taken
    )
    assert browser.post("/logout", headers=sent).status_code == (303 if is_taken else 403)
    assert is_logged_in(browser) is not is_taken
    browser.cookies.clear()
    assert browser.post("/login", data={"key": key}, headers=sent).status_code == (
        303 if is_taken else 403
    )


def test_a_key_in_the_header_takes_precedence_over_the_cookie(
    api_with_keys: ApiServer, browser: httpx.Client
) -> None:
    log_in(browser, make_key(api_with_keys.db, owner="grace"))
    shown = {"Authorization": f"Bearer {make_key(api_with_keys.db, owner='henry')}"}
    assert browser.post("/experiments", json=BODY, headers=shown).json()["owner"] == "henry"
    assert (
        browser.get("/experiments", headers={"Authorization": "Bearer rrk_0_0"}).status_code == 401
    )


def test_a_login_has_its_key_s_scopes(api_with_keys: ApiServer, browser: httpx.Client) -> None:
    log_in(browser, make_key(api_with_keys.db, Scope.READ))
    of_script = {**OWN_PAGE, "Accept": "application/json"}
    refused = browser.post("/experiments", json=BODY, headers=of_script)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    browser.cookies.clear()
    refused = log_in(browser, make_key(api_with_keys.db, Scope.SUBMIT))
    assert refused.status_code == 403
    assert "no scope `read`" in refused.text
    assert COOKIE not in browser.cookies


def test_a_login_ends_by_logout_expiry_and_revocation_of_its_key(
    api_with_keys: ApiServer, browser: httpx.Client
) -> None:
    key = make_key(api_with_keys.db)
    log_in(browser, key)
    token = browser.cookies[COOKIE]
    assert is_logged_in(browser)
    assert browser.post("/logout", headers=OWN_PAGE).headers["location"] == "/login"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, token)
    assert not is_logged_in(browser), "whoever has kept the cookie is out too"
    for seconds, its_key in (
        (-1, key),
        (60, make_key(api_with_keys.db, seconds=-1)),
        (60, "revoked"),
    ):
        made = make_key(api_with_keys.db) if its_key == "revoked" else its_key
        with api_with_keys.db.write() as session:
            row = find_key(session, made)
            assert row is not None
            browser.cookies.clear()
            browser.cookies.set(COOKIE, create_login(session, row, timedelta(seconds=seconds)))
            if its_key == "revoked":
                revoke_key(session, row.id)
        assert not is_logged_in(browser), (seconds, its_key)
    browser.cookies.clear()
    log_in(browser, key)
    first = browser.cookies[COOKIE]
    log_in(browser, key)
    assert browser.cookies[COOKIE] != first
    browser.cookies.clear()
    browser.cookies.set(COOKIE, first)
    assert not is_logged_in(browser), "the browser has another login now"


def test_a_stream_ends_with_the_login(api_with_keys: ApiServer, browser: httpx.Client) -> None:
    log_in(browser, make_key(api_with_keys.db))
    made = browser.post("/experiments", json=BODY, headers=OWN_PAGE).json()["id"]
    stream_of = {"Accept": "text/event-stream"}
    with browser.stream(
        "GET", f"/experiments/{made}/events", headers=stream_of, timeout=10
    ) as stream:
        lines = stream.iter_lines()
        assert (
            next(line for line in lines if line.startswith("event:"))
            == "event: experiment.submitted"
        )
        browser.post("/logout", headers=OWN_PAGE)
        assert "event: end" not in list(lines)


def test_the_cookie_s_token_is_stored_as_a_hash_and_never_logged(
    api_with_keys: ApiServer, browser: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="richregime"):
        log_in(browser, make_key(api_with_keys.db))
        token = browser.cookies[COOKIE]
        assert is_logged_in(browser)
    assert len(token) == 43
    assert token not in caplog.text
    home = api_with_keys.settings.home
    assert not [
        path for path in home.rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]


def test_invalid_keys_are_limited_and_valid_ones_still_accepted(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, max_failed_keys_per_minute=10)) as api_server:
        key, revoked = make_key(api_server.db), make_key(api_server.db)
        with api_server.db.write() as session:
            revoke_key(session, list_keys(session)[-1].id)
        for wrong in range(5):
            assert request_with_key(api_server, f"rrk_{wrong}").status_code == 401
            assert request_with_key(api_server, None).status_code == 401, "showing none is no guess"
            assert log_in(api_server.http, revoked).status_code == 401
        for response in (
            request_with_key(api_server, "rrk_9"),
            log_in(api_server.http, "rrk_9"),
            request_with_key(api_server, revoked),
        ):
            assert response.status_code == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 60
            assert response.headers["RateLimit-Policy"] == '"failed-keys";q=10;w=60'
            assert response.headers["RateLimit"].startswith('"failed-keys";r=0;t=')
        assert request_with_key(api_server, "rrk_9").json()["code"] == "rate-limited"
        assert request_with_key(api_server, key).status_code == 200
        assert log_in(api_server.http, key).status_code == 303
