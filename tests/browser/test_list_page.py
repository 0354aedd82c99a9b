"""The list of experiments and editing in a real browser, on an API with made-up results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.web.pages.experiments import PAGE_SIZE
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

LOADED = "document.readyState === 'complete' && document.getElementById('tick-shown')"
TICKED = "document.getElementById('ticked').textContent"
SUMMARY = "document.getElementById('action-summary').textContent"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ApiServer]:
    """A service with 30 experiments, of which two have ended."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        for number in range(PAGE_SIZE + 5):
            body: dict[str, Any] = {"spec": {"kind": "train", "epochs": 1 + number}}
            body["labels"] = {"paper": f"fig{number % 3}", "all": "yes"}
            body["sweep"] = {"model.width": [10, 20]} if number == 1 else {}
            made = opened.submit({**body, "seeds": [0, 1] if number == 0 else [0]})["id"]
            if number < 2:
                for _ in opened.get(f"/experiments/{made}/runs")["items"]:
                    claimed = opened.claim_run(made)
                    assert claimed is not None
                    opened.finish_run(claimed)
                opened.reconcile()
        yield opened


@pytest.fixture(scope="module")
def service_url(api: ApiServer) -> str:
    return str(api.http.base_url).rstrip("/")


def click(browser: Browser, element: str) -> None:
    browser.evaluate(f"document.querySelector({json.dumps(element)}).click(); true")


def go(browser: Browser, element: str) -> None:
    """Click what loads another page, and wait for it."""
    browser.evaluate("window.old = true")
    click(browser, element)
    browser.wait_for(f"!window.old && {LOADED}")


def titles(browser: Browser) -> list[str]:
    found: list[str] = browser.evaluate(
        "[...document.querySelectorAll('tbody th[scope=row] > a:first-child')]"
        ".map((one) => one.textContent)"
    )
    return found


def fill(browser: Browser, element_id: str, text: str) -> None:
    browser.evaluate(f"document.getElementById('{element_id}').value = {json.dumps(text)}; true")


def test_the_list_is_ranked_by_columns_that_the_reader_chooses_and_keeps_them(
    browser: Browser, service_url: str
) -> None:
    browser.open(f"{service_url}/")
    browser.wait_for(LOADED)
    assert "30 experiments, running first" in browser.evaluate("document.body.textContent")
    heads = "[...document.querySelectorAll('thead th')].map((one) => one.textContent.trim())"
    assert "Test accuracy (%)" in browser.evaluate(heads)
    go(browser, "[id='sort-result.test_accuracy']")
    assert titles(browser)[:2] == ["train, epochs 1", "train, width 10 and 20, epochs 2"]
    sorted_head = "document.querySelector('th[aria-sort=descending]').textContent"
    assert "Test accuracy" in browser.evaluate(sorted_head)
    first_rows = (
        "[...document.querySelectorAll('tbody tr')].slice(0, 2).map((row) => row.textContent)"
    )
    best, swept = browser.evaluate(first_rows)
    assert "90.50 ± 0.50" in best
    assert "at width 10" in swept
    # Fields that are swept or changed are offered; the choice stays with the next visit.
    for name in ("epochs", "model.width"):
        click(browser, f"#column-form input[value='{name}']")
    fill(browser, "group", "paper")
    go(browser, "#column-form button")
    assert {"epochs", "model.width"} <= set(browser.evaluate(heads))
    groups = "[...document.querySelectorAll('th[scope=rowgroup]')].map((one) => one.textContent)"
    assert browser.evaluate(groups) == ["paper: fig0 (10)", "paper: fig1 (10)", "paper: fig2 (10)"]
    fill(browser, "sort", "epochs")  # as on a phone, where the table has no heads
    go(browser, "#column-form button")
    assert titles(browser)[:2] == ["train, epochs 1", "train, epochs 4"]
    browser.open(f"{service_url}/?status=queued")
    browser.wait_for(f"location.search.includes('group=paper') && {LOADED}")
    assert "epochs ▲" in browser.evaluate(heads)
    assert "28 experiments match" in browser.evaluate("document.body.textContent")
    for width in (390, 1440):
        browser.resize(width, 900)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    go(browser, "#usual-columns")
    assert "model.width" not in browser.evaluate(heads)
    assert browser.evaluate("location.search") == "?status=queued"


def test_ticks_stay_and_actions_tell_first_what_they_do(
    browser: Browser, service_url: str, api: ApiServer
) -> None:
    browser.open(f"{service_url}/")
    browser.wait_for(LOADED)
    click(browser, "#tick-shown")
    assert f"{PAGE_SIZE} ticked; at most 8 can be compared" in browser.evaluate(TICKED)
    assert browser.evaluate("document.getElementById('compare').disabled") is True
    go(browser, "a[rel=next]")
    click(browser, "#tick-shown")
    assert "30 ticked" in browser.evaluate(TICKED)
    click(browser, "#clear-ticks")
    ended = api.get("/experiments", sort="created", limit=1)["items"][0]["id"]
    queued = api.get("/experiments", sort="created", status="queued")["items"][0]["id"]
    browser.open(f"{service_url}/?sort=created")
    browser.wait_for(LOADED)
    click(browser, f"#pick-{ended}")
    browser.open(f"{service_url}/?status=queued")
    browser.wait_for(f"location.search.includes('sort=created') && {LOADED}")
    click(browser, f"#pick-{queued}")
    assert "2 ticked" in browser.evaluate(TICKED)
    go(browser, "#show-ticked")
    browser.wait_for(f"location.search.includes('sort=created') && {LOADED}")
    assert len(titles(browser)) == 2
    assert browser.evaluate(f"document.getElementById('pick-{ended}').checked") is True
    click(browser, "[data-act=cancel]")
    browser.wait_for(f"{SUMMARY}.includes('1 experiment will be cancelled; 1 will stay as it is')")
    assert "has already succeeded" in browser.evaluate(
        "document.getElementById('action-list').textContent"
    )
    assert api.get(f"/experiments/{queued}")["status"] == "queued"
    click(browser, "#action-confirm")
    browser.wait_for(f"{SUMMARY} === '1 experiment is cancelled.'")
    assert api.get(f"/experiments/{queued}")["status"] == "cancelled"
    click(browser, "#action-close")
    click(browser, "[data-act=label]")
    fill(browser, "label-key", "seen")
    fill(browser, "label-value", "yes")
    browser.evaluate("document.getElementById('label-form').requestSubmit()")
    browser.wait_for(f"{SUMMARY} === '2 experiments will be labelled.'")
    click(browser, "#action-confirm")
    browser.wait_for(f"{SUMMARY} === '2 experiments are labelled.'")
    assert api.get("/experiments", label="seen:yes")["total"] == 2
    click(browser, "#action-close")
    click(browser, "[data-act=delete]")
    browser.wait_for(f"{SUMMARY}.startsWith('2 experiments will be deleted, which frees ')")
    click(browser, "#action-confirm")
    browser.wait_for(f"{SUMMARY} === '2 experiments are deleted.'")
    assert api.get("/experiments", label="seen")["total"] == 0
    assert "Tick experiments" in browser.evaluate(TICKED)


def test_an_experiment_is_edited_extended_and_deleted_on_its_page(
    browser: Browser, service_url: str, api: ApiServer
) -> None:
    made = api.submit({"spec": {"kind": "train"}, "sweep": {"epochs": [101, 102]}})["id"]
    browser.open(f"{service_url}/view/{made}")
    browser.wait_for("document.readyState === 'complete'")
    click(browser, "#edit summary")
    fill(browser, "edit-name", "edited")
    fill(browser, "edit-notes", "<b>one</b>\ntwo")
    click(browser, "#edit-add-label")
    for part, text in (("key", "paper"), ("value", "fig9")):
        browser.evaluate(f"document.querySelector('.label-{part}').value = '{text}'; true")
    browser.evaluate("window.old = true; document.getElementById('edit-form').requestSubmit()")
    browser.wait_for("!window.old && document.readyState === 'complete'")
    changed = api.get(f"/experiments/{made}")
    assert (changed["name"], changed["notes"]) == ("edited", "<b>one</b>\ntwo")
    assert changed["labels"] == {"paper": "fig9"}
    assert browser.evaluate("document.getElementById('notes').textContent") == "<b>one</b>\ntwo"
    assert browser.evaluate("document.querySelector('h1').textContent") == "edited"
    # What is wrong stands at its field, and nothing is added.
    click(browser, "#edit summary")
    fill(browser, "extend-seeds", "1-2")
    fill(browser, "extend-1", "103, -4")
    browser.evaluate("document.getElementById('extend-form').requestSubmit()")
    browser.wait_for("document.getElementById('error-1').textContent")
    assert "greater than or equal to 0" in browser.evaluate(
        "document.getElementById('error-1').textContent"
    )
    assert browser.evaluate("document.activeElement.id") == "extend-1"
    browser.errors.clear()  # the refusal
    fill(browser, "extend-1", "103")
    browser.evaluate("window.old = true; document.getElementById('extend-form').requestSubmit()")
    browser.wait_for("!window.old && document.readyState === 'complete'")
    extended = api.get(f"/experiments/{made}")
    assert (extended["seeds"], extended["sweep"]) == ([0, 1, 2], {"epochs": [101, 102, 103]})
    click(browser, "#edit summary")
    click(browser, "#delete")
    browser.wait_for("document.getElementById('delete-error').textContent.includes('cancel it')")
    browser.errors.clear()
    api.http.post(f"/experiments/{made}/cancel")
    click(browser, "#delete")
    browser.wait_for("document.getElementById('delete-told').textContent.includes('which frees')")
    go(browser, "#delete-confirm")
    assert browser.evaluate("location.pathname") == "/"
    assert api.http.get(f"/experiments/{made}").status_code == 404


def test_failed_runs_of_ticked_experiments_are_retried(
    browser: Browser, service_url: str, api: ApiServer
) -> None:
    failed, queued = (
        api.submit({"spec": {"kind": "train", "epochs": epochs}})["id"] for epochs in (201, 202)
    )
    claimed = api.claim_run(failed)
    assert claimed is not None
    api.fail_run(claimed)
    assert api.get(f"/experiments/{failed}")["status"] == "failed"
    browser.open(f"{service_url}/?sort=-created")
    browser.wait_for(LOADED)
    click(browser, "#clear-ticks")
    for one in (failed, queued):
        click(browser, f"#pick-{one}")
    click(browser, "[data-act=retry]")
    browser.wait_for(f"{SUMMARY} === '1 experiment will be retried; 1 will stay as it is.'")
    told = browser.evaluate("document.getElementById('action-list').textContent")
    assert "train, epochs 201: 1 failed run" in told
    assert "train, epochs 202: none of its runs has failed" in told
    assert api.get(f"/experiments/{failed}")["status"] == "failed"
    button = "document.getElementById('action-confirm').textContent"
    assert browser.evaluate(button) == "Retry 1 experiment"
    click(browser, "#action-confirm")
    browser.wait_for(f"{SUMMARY} === '1 experiment is retried.'")
    assert api.get(f"/experiments/{failed}")["status"] == "queued"
