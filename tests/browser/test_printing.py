"""Pages on paper: light, nothing folded or cut off, no controls."""

from __future__ import annotations

import pytest

from richregime import Client
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

SPEC = {
    "kind": "lws",
    "data": {"name": "digits", "train_size": 128, "test_size": 64},
    "model": {"width": 4},
    "epochs": 2,
}
IS_SHOWN = "document.querySelector('{}').checkVisibility()"
CONTROLS = (".site", "#edit", "#curve-controls", "main .button", ".table-links", "#again")
KEPT = ("h1", "#result-finding, #summary", "#curve-grid", "#plot-grid", "#comparison", "#spec pre")


@pytest.fixture(scope="module")
def experiment(client: Client) -> str:
    """The id of an experiment with verdicts."""
    policies = [{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}]
    made = client.submit(SPEC, sweep={"policy": policies}, seeds=[0, 1, 2])
    assert client.wait(made.id, timeout=170).terminal
    return made.id


def test_a_dark_page_is_printed_light_and_whole(
    browser: Browser, service_url: str, experiment: str
) -> None:
    browser.prefer("dark")
    browser.open(f"{service_url}/view/{experiment}")
    browser.wait_for("document.querySelectorAll('#comparison details').length")
    browser.wait_for("document.querySelectorAll('.curve .main-svg').length")
    ticks = "getComputedStyle(document.querySelector('.curve .xtick text')).fill"
    on_screen = browser.evaluate(ticks)
    print_media(browser)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
    browser.wait_for(f"{ticks} !== '{on_screen}'")
    assert [one for one in CONTROLS if browser.evaluate(IS_SHOWN.format(one))] == []
    assert [one for one in KEPT if not browser.evaluate(IS_SHOWN.format(one))] == []
    closed = "document.querySelectorAll('#comparison details:not([open])').length"
    assert browser.evaluate(closed) == 0
    assert browser.evaluate("document.querySelectorAll('img[loading=lazy]').length") == 0
    first = "getComputedStyle(document.querySelector('#comparison tbody tr')).breakInside"
    assert browser.evaluate(first) == "avoid"
    cut = "[...document.querySelectorAll('.scroll')].filter((one) => one.checkVisibility()"
    assert browser.evaluate(f"{cut} && getComputedStyle(one).overflowX !== 'visible').length") == 0
    browser.evaluate("dispatchEvent(new Event('afterprint')); true")
    assert browser.evaluate(closed) > 0, "afterwards the page is as before"


WHITE = "rgb(255, 255, 255)"


def print_media(browser: Browser) -> None:
    """Show the page as on paper of A4, between its margins."""
    browser.resize(680, 960)
    browser.call(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    browser.evaluate("dispatchEvent(new Event('beforeprint')); true")
