"""Logging in by a page: what a browser is led to, what its cookie is good for, and for how long."""

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
from tests.api.desk import Desk, make_settings, serving
from tests.api.keyed import ask, make_key
from tests.api.test_api_pages import Reading

HTML = {"Accept": "text/html"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
BODY = {"spec": {"kind": "train"}, "reuse": False}


@pytest.fixture
def browser(closed: Desk) -> Iterator[httpx.Client]:
    """Asks for pages and keeps cookies."""
    with httpx.Client(base_url=closed.http.base_url, headers=HTML, timeout=60) as opened:
        yield opened


def log_in(browser: httpx.Client, key: str, wanted: str = "/", **headers: str) -> httpx.Response:
    return browser.post(
        "/login", data={"key": key, "next": wanted}, headers={**OWN_PAGE, **headers}
    )


def is_logged_in(browser: httpx.Client) -> bool:
    answer = browser.get("/machines")
    assert answer.status_code in (200, 303), answer.text
    return answer.status_code == 200


def test_a_browser_is_led_to_the_login_and_a_program_is_not(
    closed: Desk, browser: httpx.Client
) -> None:
    led = browser.get("/view/exp_1?a=1&b=2")
    assert (led.status_code, led.headers["location"]) == (
        303,
        "/login?next=%2Fview%2Fexp_1%3Fa%3D1%26b%3D2",
    )
    assert browser.get("/").headers["location"] == "/login"
    page = browser.get(led.headers["location"])
    assert page.status_code == 200
    hidden = next(one for one in Reading(page.text).all("input") if one["type"] == "hidden")
    assert hidden["value"] == "/view/exp_1?a=1&b=2"
    for method, headers in (("GET", {"Accept": "*/*"}), ("POST", HTML)):
        assert closed.http.request(method, "/experiments", headers=headers).status_code == 401
    assert ask(closed, "rrk_0_0", headers=HTML).status_code == 401


def test_the_login_page_needs_no_script_and_tells_what_is_wrong(browser: httpx.Client) -> None:
    for text in (browser.get("/login").text, log_in(browser, "rrk_0_<b>").text):
        reading = Reading(text)
        assert not reading.all("script")
        assert "key" in [label.get("for") for label in reading.all("label")]
        described = str(reading.with_id("key")["aria-describedby"]).split()
        assert set(described) <= set(reading.ids)
        assert "<b>" not in text
    assert reading.with_id("key")["aria-invalid"] == "true"
    assert reading.with_id("refusal")["role"] == "alert"


def test_a_key_logs_in_and_leads_to_where_one_was_going(
    closed: Desk, browser: httpx.Client
) -> None:
    key = make_key(closed.db, owner="grace")
    answer = log_in(browser, f" {key} ", "/machines")
    assert (answer.status_code, answer.headers["location"]) == (303, "/machines")
    cookie = answer.headers["set-cookie"]
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


def test_behind_tls_the_cookie_is_sent_by_tls_alone(closed: Desk, browser: httpx.Client) -> None:
    answer = log_in(browser, make_key(closed.db), **{"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


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
def test_the_login_leads_to_this_service_alone(
    closed: Desk, browser: httpx.Client, wanted: str
) -> None:
    assert log_in(browser, make_key(closed.db), wanted).headers["location"] == "/"
    hidden = Reading(browser.get("/login", params={"next": wanted}).text).all("input")[0]
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
def test_only_a_page_of_ours_changes_anything_with_a_login(
    closed: Desk, browser: httpx.Client, headers: dict[str, str], is_taken: bool
) -> None:
    own = str(closed.http.base_url).rstrip("/")
    sent = {name: value.format(own=own) for name, value in headers.items()}
    key = make_key(closed.db)
    assert log_in(browser, key).status_code == 303
    count = len(ask(closed, key, params={"limit": 200}).json()["items"])
    made = browser.post("/experiments", json=BODY, headers=sent)
    assert made.status_code == (201 if is_taken else 403), made.text
    assert len(ask(closed, key, params={"limit": 200}).json()["items"]) == count + is_taken
    assert browser.post("/logout", headers=sent).status_code == (303 if is_taken else 403)
    assert is_logged_in(browser) is not is_taken
    browser.cookies.clear()
    assert browser.post("/login", data={"key": key}, headers=sent).status_code == (
        303 if is_taken else 403
    )


def test_a_key_beside_the_cookie_is_the_one_that_counts(
    closed: Desk, browser: httpx.Client
) -> None:
    log_in(browser, make_key(closed.db, owner="grace"))
    shown = {"Authorization": f"Bearer {make_key(closed.db, owner='henry')}"}
    assert browser.post("/experiments", json=BODY, headers=shown).json()["owner"] == "henry"
    assert (
        browser.get("/experiments", headers={"Authorization": "Bearer rrk_0_0"}).status_code == 401
    )


def test_a_login_has_its_key_s_scopes(closed: Desk, browser: httpx.Client) -> None:
    log_in(browser, make_key(closed.db, Scope.READ))
    refused = browser.post("/experiments", json=BODY, headers=OWN_PAGE)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    browser.cookies.clear()
    refused = log_in(browser, make_key(closed.db, Scope.SUBMIT))
    assert refused.status_code == 403
    assert "no scope `read`" in refused.text
    assert COOKIE not in browser.cookies


def test_a_login_ends_with_a_logout_its_time_and_its_key(
    closed: Desk, browser: httpx.Client
) -> None:
    key = make_key(closed.db)
    log_in(browser, key)
    token = browser.cookies[COOKIE]
    assert is_logged_in(browser)
    assert browser.post("/logout", headers=OWN_PAGE).headers["location"] == "/login"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, token)
    assert not is_logged_in(browser), "whoever has kept the cookie is out too"
    for seconds, its_key in ((-1, key), (60, make_key(closed.db, seconds=-1)), (60, "revoked")):
        made = make_key(closed.db) if its_key == "revoked" else its_key
        with closed.db.write() as session:
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


def test_a_stream_ends_with_the_login(closed: Desk, browser: httpx.Client) -> None:
    log_in(browser, make_key(closed.db))
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
    closed: Desk, browser: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="richregime"):
        log_in(browser, make_key(closed.db))
        token = browser.cookies[COOKIE]
        assert is_logged_in(browser)
    assert len(token) == 43
    assert token not in caplog.text
    home = closed.settings.home
    assert not [
        path for path in home.rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]


def test_wrong_keys_are_counted_and_refuse_nobody_a_right_one(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serving(make_settings(tmp_path, max_failed_keys_per_minute=10)) as desk:
        key, revoked = make_key(desk.db), make_key(desk.db)
        with desk.db.write() as session:
            revoke_key(session, list_keys(session)[-1].id)
        for wrong in range(5):
            assert ask(desk, f"rrk_{wrong}").status_code == 401
            assert ask(desk, None).status_code == 401, "showing none is no guess"
            assert log_in(desk.http, revoked).status_code == 401
        for answer in (ask(desk, "rrk_9"), log_in(desk.http, "rrk_9"), ask(desk, revoked)):
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert answer.headers["RateLimit-Policy"] == '"failed-keys";q=10;w=60'
            assert answer.headers["RateLimit"].startswith('"failed-keys";r=0;t=')
        assert ask(desk, "rrk_9").json()["code"] == "rate-limited"
        assert ask(desk, key).status_code == 200
        assert log_in(desk.http, key).status_code == 303
