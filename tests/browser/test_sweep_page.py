"""The page of a sweep of 200 points: its plots first, a ranked table, details folded."""

from __future__ import annotations

import pytest

from richregime import Client
from tests.browser.chrome import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

WIDTHS = [4, 6, 8, 10, 12, 16, 20, 28, 40, 56]
RATES = [round(0.0001 * 1.6**step, 7) for step in range(20)]
SPEC = {
    "kind": "train",
    "data": {"name": "digits", "train_size": 64, "test_size": 100},
    "epochs": 1,
    "model": {"name": "relu_net", "depth": 1},
}
ROWS = "[...document.querySelectorAll('#result-table tbody tr')]"
VISIBLE = f"{ROWS}.filter((row) => !row.hidden)"


@pytest.fixture(scope="module")
def swept(client: Client) -> str:
    """The id of an experiment with 200 points, computed by the workers."""
    made = client.submit(SPEC, sweep={"model.width": WIDTHS, "optimizer.lr": RATES}, seeds=[0, 1])
    ended = client.wait(made.id, timeout=500)
    assert ended.status == "succeeded"
    return made.id


@pytest.fixture
def page(browser: Browser, service_url: str, swept: str) -> Browser:
    browser.resize(1440, 900)
    browser.open(f"{service_url}/view/{swept}")
    browser.wait_for(
        "[...document.querySelectorAll('img.of-sweep')].every((one) => one.naturalWidth > 100)"
    )
    return browser


def column_of(browser: Browser, name: str) -> list[float]:
    """The values of a column in the rows that are shown."""
    place = browser.evaluate(
        "[...document.querySelectorAll('#result-table thead th')]"
        f".findIndex((cell) => cell.dataset.column === '{name}')"
    )
    return [
        float(value)
        for value in browser.evaluate(f"{VISIBLE}.map((row) => row.cells[{place}].dataset.value)")
    ]


def test_details_begin_within_three_screens_and_nothing_is_wider_than_the_page(
    page: Browser,
) -> None:
    page.wait_for("document.querySelector('#comparison table')")
    top = page.evaluate(
        "document.getElementById('curves').getBoundingClientRect().top + window.scrollY"
    )
    assert top < 3 * 900
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.evaluate("document.querySelectorAll('details.folded[open]').length") == 0
    page.resize(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_plots_of_the_sweep_come_first_and_show_the_chosen_number(page: Browser) -> None:
    names = page.evaluate(
        "[...document.querySelectorAll('#sweep figure')].map((one) => one.dataset.plot)"
    )
    assert names == ["sweep_quantity", "sweep_map"]
    assert page.evaluate(
        "document.querySelector('#sweep').compareDocumentPosition("
        "document.querySelector('#result-table')) === Node.DOCUMENT_POSITION_FOLLOWING"
    )
    page.evaluate(
        "(() => { const select = document.getElementById('quantity');"
        "select.value = 'train_loss';"
        "select.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    page.wait_for(
        "[...document.querySelectorAll('img.of-sweep')]"
        ".every((one) => one.src.includes('quantity=train_loss') && one.complete)"
    )
    links = page.evaluate(
        "[...document.querySelectorAll('#sweep a')].map((one) => new URL(one.href).search)"
    )
    assert all("quantity=train_loss" in query for query in links)


def test_the_table_is_ranked_shows_20_rows_and_sorts(page: Browser) -> None:
    shown = column_of(page, "test_accuracy")
    everything = page.evaluate(f"{ROWS}.length")
    assert (len(shown), everything) == (20, 200)
    assert shown == sorted(shown, reverse=True)
    head = "document.querySelector('#result-table th[data-column=train_loss] button').click()"
    page.evaluate(head)
    losses = column_of(page, "train_loss")
    assert len(losses) == 20
    assert losses == sorted(losses)
    page.evaluate(head)
    assert column_of(page, "train_loss")[0] > losses[-1]
    page.evaluate("document.getElementById('all-rows').click()")
    assert len(column_of(page, "train_loss")) == 200


def test_all_rows_are_a_link_without_scripts(
    browser: Browser, service_url: str, swept: str
) -> None:
    browser.open(f"{service_url}/view/{swept}?rows=all")
    assert len(column_of(browser, "test_accuracy")) == 200


def test_opened_curves_are_of_a_chosen_few(page: Browser) -> None:
    assert page.evaluate("typeof Plotly") == "undefined"
    page.evaluate("document.getElementById('curves-part').open = true; true")
    page.wait_for("document.querySelectorAll('.curve .main-svg').length > 0")
    assert page.evaluate("document.querySelectorAll('#legend .entry').length") == 6
    note = page.evaluate("document.getElementById('curve-note').textContent")
    assert note == "6 of 200 points: the 3 best, the worst and 2 between by test accuracy."
    names = page.evaluate(
        "[...document.querySelectorAll('#legend .entry')].map((one) => one.textContent)"
    )
    assert all(name.startswith("width ") and ", lr " in name for name in names)


def test_runs_are_listed_by_pages_and_named_as_points(page: Browser) -> None:
    page.evaluate("document.getElementById('runs-part').open = true; true")
    rows = "document.querySelectorAll('#run-list tbody tr')"
    assert page.evaluate(f"{rows}.length") == 50
    assert page.evaluate(f"{rows}[0].cells[1].textContent") == "width 4, lr 0.0001"
    first = page.evaluate(f"{rows}[0].cells[0].textContent")
    page.evaluate(
        "[...document.querySelectorAll('#run-list a')]"
        ".find((one) => one.textContent === 'Next runs').click()"
    )
    page.wait_for(
        "new URLSearchParams(location.search).has('runs_after')"
        " && document.readyState === 'complete'"
    )
    assert page.evaluate(f"{rows}.length") == 50
    assert page.evaluate(f"{rows}[0].cells[0].textContent") != first
    assert page.evaluate("document.getElementById('runs-part').open"), "the link opens the section"


def test_ticks_choose_the_curves_and_plots_by_keyboard_on_a_narrow_screen(page: Browser) -> None:
    page.resize(390, 844)
    first, second = page.evaluate(
        f"{VISIBLE}.slice(0, 2).map((row) => Number(row.querySelector('input').dataset.point))"
    )
    for point in (first, second):
        page.evaluate(f"document.getElementById('curves-of-{point}').focus(); true")
        page.press(" ", 32, " ")
    assert page.evaluate("document.getElementById('chosen').textContent") == "2 ticked."
    page.evaluate("document.getElementById('to-curves').focus(); true")
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelectorAll('#legend .entry').length === 2")
    names = page.evaluate(
        "[...document.querySelectorAll('#legend .entry')].map((one) => one.textContent)"
    )
    labels = [f"document.getElementById('curves-of-{one}').ariaLabel" for one in (first, second)]
    assert sorted(f"Curves of {name}" for name in names) == sorted(map(page.evaluate, labels))
    chosen = ",".join(map(str, sorted((first, second))))
    queries = page.evaluate(
        "[...document.querySelectorAll('figure[data-takes-points] img')]"
        ".map((one) => new URL(one.src).searchParams.get('points'))"
    )
    assert queries
    assert set(queries) == {chosen}
    page.evaluate("document.getElementById('untick').click()")
    page.wait_for("document.querySelectorAll('#legend .entry').length === 6")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_name_of_a_row_leads_to_the_runs_of_its_point(page: Browser) -> None:
    name = page.evaluate(f"{VISIBLE}[0].querySelector('a').ariaLabel")
    page.evaluate(f"{VISIBLE}[0].querySelector('a').click()")
    page.wait_for("location.hash === '#runs' && document.readyState === 'complete'")
    page.wait_for("document.getElementById('runs-part').open")
    cells = (
        "[...document.querySelectorAll('#run-list tbody tr')].map((row) => row.cells[1].innerText)"
    )
    assert {f"Runs of {cell}" for cell in page.evaluate(cells)} == {name}
