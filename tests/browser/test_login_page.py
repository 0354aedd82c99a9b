"""The login in a real browser: by keyboard, without scripts, on a phone, in light and dark."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.middleware.authentication import KEY_CHECK_SECONDS
from ops.ports import free_port
from ops.up import Stack
from schemas.access import Scope
from storage.database.engine import Database
from tests.api.keys import make_key
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

BODY = json.dumps({"spec": {"kind": "train", "epochs": 1}, "name": "by a logged-in user"})
LOADED = "document.readyState === 'complete'"


@pytest.fixture(scope="module")
def service_with_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a service that requires a key, and a valid key."""
    home = tmp_path_factory.mktemp("service")
    with Stack(home, free_port()) as stack:
        db = Database(f"sqlite:///{home / 'richregime.sqlite3'}")
        key = make_key(db, Scope.READ, Scope.SUBMIT, Scope.CANCEL)
        db.dispose()
        time.sleep(KEY_CHECK_SECONDS)
        yield stack.url, key


@pytest.fixture(scope="module")
def service_url(service_with_key: tuple[str, str]) -> str:
    return service_with_key[0]


def type_text(browser: Browser, text: str) -> None:
    browser.call("Input.insertText", text=text)


@pytest.mark.parametrize("has_scripts", [True, False])
def test_login_submission_and_logout_work_by_keyboard(
    browser: Browser, service_with_key: tuple[str, str], has_scripts: bool
) -> None:
    url, key = service_with_key
    browser.call("Emulation.setScriptExecutionDisabled", value=not has_scripts)
    browser.open(f"{url}/machines?a=1")
    browser.wait_for(f"location.pathname === '/login' && {LOADED}")
    browser.wait_for("document.activeElement.id === 'key'")
    type_text(browser, "rrk_0_0")
    browser.press("Enter", 13, "\r")
    browser.wait_for(f"document.getElementById('refusal') && {LOADED}")
    browser.wait_for("document.activeElement.id === 'key'")
    type_text(browser, key)
    browser.press("Enter", 13, "\r")
    browser.wait_for(f"location.pathname === '/machines' && {LOADED}")
    assert browser.evaluate("location.search") == "?a=1"
    assert "Logged in as ada" in browser.evaluate("document.querySelector('.who').innerText")
    assert browser.evaluate("document.cookie") == "", "scripts cannot read it"
    for path in ("/guide", "/docs"):
        browser.open(url + path)
        browser.wait_for(LOADED)
        assert browser.evaluate("location.pathname").startswith(path)
    if has_scripts:
        _submit_from(browser, url)
    browser.open(f"{url}/machines")
    browser.evaluate("document.querySelector('.who button').focus(); true")
    browser.press("Enter", 13, "\r")
    browser.wait_for(f"location.pathname === '/login' && {LOADED}")
    browser.open(f"{url}/machines")
    browser.wait_for(f"location.pathname === '/login' && {LOADED}")
    assert all("401" in error for error in browser.errors), browser.errors
    browser.errors.clear()


def _submit_from(browser: Browser, url: str) -> None:
    """Submit by the form of a new experiment; send a request by Swagger UI."""
    browser.open(f"{url}/submit")
    browser.wait_for("document.querySelectorAll('#cost .card').length")
    browser.evaluate(
        f"body.value = {json.dumps(BODY)};"
        " body.dispatchEvent(new Event('input', {bubbles: true})); true"
    )
    browser.wait_for(
        "document.getElementById('verdict').textContent === 'The experiment is valid.'"
    )
    browser.evaluate("document.getElementById('submit').click(); true")
    browser.wait_for(f"location.pathname.startsWith('/view/') && {LOADED}")
    browser.open(f"{url}/docs")
    for button in (
        "#operations-service-get_queue_queue_get .opblock-summary-control",
        ".try-out__btn",
        ".execute",
    ):
        browser.wait_for(f"document.querySelector('{button}')")
        browser.evaluate(f"document.querySelector('{button}').click(); true")
    status = ".live-responses-table tbody td.response-col_status"
    browser.wait_for(f"document.querySelector('{status}')?.textContent.startsWith('200')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_login_page_and_the_name_of_the_owner_fit_the_screen(
    browser: Browser,
    service_with_key: tuple[str, str],
    tmp_path: Path,
    scheme: str,
    width: int,
    height: int,
) -> None:
    url, key = service_with_key
    browser.prefer(scheme)
    browser.resize(width, height)
    browser.open(f"{url}/login")
    for name in ("login", "refused", "logged-in"):
        if name != "login":
            browser.wait_for(f"{LOADED} && document.activeElement.id === 'key'")
            type_text(browser, key if name == "logged-in" else "rrk_0_0")
            browser.press("Enter", 13, "\r")
            browser.wait_for(
                f"document.querySelector('{'.who' if name == 'logged-in' else '#refusal'}')"
            )
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, name
        (tmp_path / f"{name}.png").write_bytes(browser.screenshot())
    assert all("401" in error for error in browser.errors), browser.errors
    browser.errors.clear()
