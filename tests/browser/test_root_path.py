"""The pages in a real browser, below a path of a reverse proxy: no request fails or leaves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.reverse_proxy import proxy_below
from tests.browser.chrome import Browser, chromium, find_chromium

pytestmark = pytest.mark.browser

PATH = "/lab/rich-regime"
BODY = {
    "spec": {
        "kind": "train",
        "data": {"name": "digits", "train_size": 500, "test_size": 200},
        "epochs": 4,
    },
    "seeds": [0, 1],
    "name": "below a path",
}


@pytest.fixture(scope="module")
def url(service_url: str) -> Iterator[str]:
    """The address of the service below the path."""
    with proxy_below(PATH, service_url, {"X-Forwarded-Prefix": PATH}) as proxy:
        yield f"{proxy}{PATH}"


@pytest.fixture
def browser_below(tmp_path: Path, url: str) -> Iterator[Browser]:
    """A new browser; after the test, every request has succeeded and was below the path."""
    program = find_chromium()
    if program is None:
        pytest.fail("Chromium is not installed (Debian: apt-get install chromium)")
    with chromium(program, tmp_path / "profile") as opened:
        opened.resize(1280, 900)
        yield opened
        opened.listen(0.5)
        assert opened.errors == [], "a failed request is logged as an error"
        outside = [one for one in opened.requested if not one.startswith((url, "data:", "blob:"))]
        assert outside == []


def test_an_experiment_is_submitted_followed_and_shown(browser_below: Browser, url: str) -> None:
    browser = browser_below
    browser.open(f"{url}/submit?kind=train")
    browser.wait_for("document.querySelectorAll('#cost .card').length")
    browser.evaluate(
        f"body.value = {json.dumps(json.dumps(BODY))};"
        " body.dispatchEvent(new Event('input', {bubbles: true})); true"
    )
    browser.wait_for(
        "document.getElementById('verdict').textContent === 'The experiment is valid.'"
    )
    browser.evaluate("document.getElementById('submit').click(); true")
    browser.wait_for(
        f"location.pathname.startsWith('{PATH}/view/') && document.readyState === 'complete'"
    )
    browser.wait_for("document.getElementById('summary').dataset.status === 'succeeded'", 150)
    browser.wait_for("document.querySelectorAll('.curve .main-svg').length")
    browser.wait_for(
        "[...document.querySelectorAll('img.plot')].slice(0, 2)"
        ".every((one) => one.naturalWidth > 400)"
    )
    assert any("/events?after=" in one for one in browser.requested), "the live stream"
    made = browser.evaluate("location.pathname").rpartition("/")[2]
    browser.open(f"{url}/compare?id={made}&id={made}")
    browser.open(f"{url}/")
    browser.evaluate(f"document.getElementById('link-{made}').click(); true")
    browser.wait_for(f"location.pathname === '{PATH}/view/{made}'")


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("/", "document.querySelector('h1')"),
        ("/machines", "document.querySelector('h1')"),
        ("/guide", f"location.pathname === '{PATH}/guide/quick-start'"),
        ("/guide/paper-map", "document.querySelector('h1')"),
        ("/docs", "document.querySelectorAll('.opblock').length > 20"),
    ],
)
def test_a_page_and_all_that_it_needs_are_loaded(
    browser_below: Browser, url: str, page: str, shown: str
) -> None:
    browser_below.open(f"{url}{page}")
    browser_below.wait_for(shown)
    assert len(browser_below.requested) > 1


def test_swagger_sends_its_requests_below_the_path(browser_below: Browser, url: str) -> None:
    browser_below.open(f"{url}/docs#/runs")
    browser_below.wait_for("document.querySelectorAll('.opblock').length > 20")
    assert browser_below.evaluate("document.querySelector('.servers select').value") == PATH


def test_redoc_is_loaded_without_the_logo_of_its_maker(browser_below: Browser, url: str) -> None:
    browser_below.open(f"{url}/redoc")
    browser_below.wait_for("document.querySelectorAll('[data-section-id]').length > 20")
    logo = "https://cdn.redoc.ly/redoc/logo-mini.svg"
    for _ in range(20):  # the browser reports the request that it blocked in its own time
        browser_below.listen(0.25)
        if logo in browser_below.requested and browser_below.errors:
            break
    assert all(f"'{logo}' violates" in error for error in browser_below.errors), "it is blocked"
    browser_below.errors.clear()
    browser_below.requested[:] = [one for one in browser_below.requested if one != logo]
