"""The web pages in a real browser: by mouse and keyboard, on a phone, in light and dark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from richregime import Client
from richregime.calls import list_events
from tests.api.sample_files import make_npz
from tests.browser.chrome import Browser
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

SPEC = {
    "kind": "train",
    "data": {"name": "digits", "train_size": 500, "test_size": 200},
    "epochs": 3,
}
PATHS = (
    "/",
    "/submit",
    "/machines",
    "/uploads",
    "/data",
    "/data/digits",
    "/compare?id={one}&id={other}",
    "/view/{one}",
    "/guide",
    "/guide/reference",
)
PREVIEWED = "document.querySelectorAll('#cost .card').length"
HAS_CURVES = "document.querySelectorAll('.curve .main-svg').length"


@pytest.fixture(scope="module")
def finished(client: Client) -> tuple[str, str]:
    """Ids of two experiments that have succeeded and differ in the learning rate."""
    made = [
        client.submit(
            {**SPEC, "optimizer": {"name": "adam", "lr": rate}},
            seeds=[0, 1, 2],
            name=f"rate {rate}",
        ).id
        for rate in (0.001, 0.01)
    ]
    for one in made:
        client.wait(one, timeout=170)
    return made[0], made[1]


def type_body(browser: Browser, text: str) -> None:
    browser.evaluate(
        f"body.value = {json.dumps(text)};"
        " body.dispatchEvent(new Event('input', {bubbles: true})); true"
    )


def type_into(browser: Browser, element_id: str, text: str) -> None:
    browser.evaluate(
        f"(() => {{ const at = document.getElementById('{element_id}');"
        f" at.value = {json.dumps(text)};"
        " at.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_an_experiment_is_submitted_and_its_page_shows_curves_and_plots(
    browser: Browser, service_url: str
) -> None:
    browser.open(f"{service_url}/submit?kind=train")
    browser.wait_for(PREVIEWED)
    type_body(
        browser,
        json.dumps({"spec": {**SPEC, "epochs": 5}, "seeds": [0, 1], "name": "from the page"}),
    )
    browser.wait_for(
        "document.getElementById('verdict').textContent === 'The experiment is valid.'"
    )
    browser.evaluate("document.getElementById('tab-json').click(); body.focus(); true")
    browser.call(
        "Input.dispatchKeyEvent",
        type="rawKeyDown",
        key="Enter",
        windowsVirtualKeyCode=13,
        modifiers=2,
    )
    browser.wait_for("location.pathname.startsWith('/view/') && document.readyState === 'complete'")
    assert browser.evaluate("document.querySelector('h1').textContent") == "from the page"
    browser.wait_for("document.getElementById('summary').dataset.status === 'succeeded'", 150)
    browser.wait_for("document.querySelector('#result-table td')")
    browser.wait_for(HAS_CURVES)
    browser.wait_for(
        "[...document.querySelectorAll('img.plot')].slice(0, 2)"
        ".every((one) => one.naturalWidth > 400)"
    )
    browser.wait_for(
        "document.getElementById('status-message').textContent === 'Status: succeeded.'"
    )
    assert "experiment.finished" in browser.evaluate(
        "document.getElementById('event-list').textContent"
    )


def test_errors_are_shown_while_typing_and_selected_by_a_click(
    browser: Browser, service_url: str
) -> None:
    browser.open(f"{service_url}/submit")
    browser.wait_for(PREVIEWED)
    browser.evaluate("document.getElementById('tab-json').click(); true")
    type_body(browser, '{\n "spec": {\n  "kind": "train",\n  "epochs": 5,\n')
    browser.wait_for(
        "verdict.textContent === 'The body is not valid JSON.'"
        " && document.getElementById('submit').disabled"
    )
    type_body(browser, '{"spec": {"kind": "train",\n  "batch_size": 64}}')
    browser.wait_for(PREVIEWED)
    type_body(
        browser,
        '{"spec": {"kind": "train",\n  "batch_size": 64}, "priority": 11}'.replace("64", '"64"'),
    )
    browser.wait_for("document.querySelectorAll('#problems li').length === 2")
    shown = browser.evaluate("document.getElementById('problems').textContent")
    assert "Line 2, #/spec/batch_size" in shown
    assert "#/priority" in shown
    browser.evaluate("document.querySelector('#problems button').click(); true")
    assert browser.evaluate("body.value.slice(body.selectionStart, body.selectionEnd)") in (
        '"64"',
        "11",
    )
    # The browser logs each response 422 of the preview.
    assert all("422" in error for error in browser.errors)
    browser.errors.clear()


def test_a_plan_of_seeds_is_previewed_with_the_most_that_it_may_cost(
    browser: Browser, service_url: str
) -> None:
    browser.open(f"{service_url}/submit?kind=train")
    browser.wait_for(PREVIEWED)
    seeds = '{"until": "decided", "first": 3, "step": 2, "at_most": 8}'
    # Else the free workers of the machine would split the first seeds.
    fixed = '"execution": {"seeds_per_run": 8}'
    type_body(browser, f'{{"spec": {{"kind": "train"}}, "seeds": {seeds}, {fixed}}}')
    browser.wait_for("cost.textContent.includes('Looks at the verdicts')")
    shown = browser.evaluate("document.getElementById('cost').textContent")
    assert "Looks at the verdictsat most 4" in shown
    assert "8 seeds, 4 runs" in shown
    assert browser.errors == []


def test_a_preset_is_filled_in_by_a_reading_of_the_paper(
    browser: Browser, service_url: str, client: Client
) -> None:
    browser.open(f"{service_url}/submit?kind=train")
    browser.wait_for(PREVIEWED)
    assert browser.evaluate("document.getElementById('reading-choice').hidden") is True
    browser.open(f"{service_url}/submit?preset=fig2&scale=quick")
    browser.wait_for(PREVIEWED)
    choose = (
        "(() => {{ const one = document.getElementById('reading'); one.value = '{}';"
        " one.dispatchEvent(new Event('change')); return true; }})()"
    )
    browser.evaluate(choose.format("first_epoch"))
    browser.wait_for("JSON.parse(body.value).spec.reset_to?.name === 'epoch'")
    assert (
        browser.evaluate("JSON.parse(body.value)")
        == client.preset("fig2", reading="first_epoch").body
    )
    shown = browser.evaluate("document.getElementById('reading-help').textContent")
    assert shown.startswith("Initial means after the first epoch")
    browser.wait_for(PREVIEWED)
    browser.evaluate(choose.format(""))
    browser.wait_for("JSON.parse(body.value).spec.reset_to === undefined")
    assert browser.errors == []


def test_a_webhook_is_set_by_the_fields_of_the_form(
    browser: Browser, service_url: str, client: Client
) -> None:
    browser.open(f"{service_url}/submit")
    browser.wait_for(PREVIEWED)
    type_body(browser, json.dumps({"spec": {**SPEC, "epochs": 2}, "name": "with a webhook"}))
    browser.evaluate("document.querySelector('#webhook summary').click(); true")
    type_into(browser, "webhook-url", "http://10.0.0.1/end")
    browser.wait_for("document.querySelectorAll('#problems li').length === 2")
    shown = browser.evaluate("document.getElementById('problems').textContent")
    assert "Address: 10.0.0.1 is not a public address" in shown
    assert "Secret: the deliveries need a secret" in shown
    assert browser.evaluate(
        "[body, ...document.querySelectorAll('#webhook input')]"
        ".map((one) => one.getAttribute('aria-invalid'))"
    ) == [None, "true", "true"]
    browser.evaluate("document.querySelectorAll('#problems button')[1].click(); true")
    assert browser.evaluate("document.activeElement.id") == "webhook-secret"
    assert browser.evaluate("document.getElementById('submit').disabled") is True
    type_into(browser, "webhook-url", "https://hooks.example.org/end")
    browser.evaluate("document.getElementById('generate-secret').click(); true")
    browser.wait_for(
        "document.getElementById('verdict').textContent === 'The experiment is valid.'"
    )
    browser.evaluate("document.getElementById('submit').click(); true")
    browser.wait_for("location.pathname.startsWith('/view/') && document.readyState === 'complete'")
    made = browser.evaluate("location.pathname.split('/').pop()")
    assert client.wait(made, timeout=120).status == "succeeded"
    # The host does not exist: the first attempt fails, and the page shows it.
    wait_until(
        lambda: "webhook.failed" in [event.name for event in client.send_all(list_events(made))]
    )
    browser.open(f"{service_url}/view/{made}")
    assert "webhook.failed" in browser.evaluate("document.getElementById('event-list').textContent")
    assert all("422" in error for error in browser.errors)
    browser.errors.clear()


def test_an_upload_is_deleted_by_its_button_unless_a_run_needs_it(
    browser: Browser, service_url: str, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "mine.npz"
    file.write_bytes(make_npz())
    client.register_dataset("mine", file)
    spec = {"kind": "train", "epochs": 1, "data": {"name": "mine"}}
    needs = client.submit(spec, execution={"requires": {"host": "none"}})
    browser.open(f"{service_url}/uploads")
    browser.evaluate("window.confirm = () => true; true")
    click = "document.getElementById('delete-dataset-1').click(); true"
    browser.evaluate(click)
    browser.wait_for(f"document.getElementById('message').textContent.includes('{needs.id}')")
    client.cancel(needs.id)
    browser.evaluate(click)
    browser.wait_for("document.getElementById('datasets').textContent.includes('no data set')")
    assert browser.evaluate("document.getElementById('message').hidden")
    assert [one.name for one in client.datasets() if one.source == "registered"] == []
    browser.errors.clear()  # the refusal


def test_the_curl_command_of_an_experiment_is_copied(
    browser: Browser, service_url: str, finished: tuple[str, str]
) -> None:
    browser.call(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    browser.open(f"{service_url}/view/{finished[0]}")
    browser.evaluate("document.querySelector('#again summary').click(); true")
    browser.evaluate("document.querySelector('[data-copy=as-curl]').click(); true")
    browser.wait_for("document.getElementById('copied').textContent === 'Copied.'")
    assert browser.evaluate("getSelection().toString()").startswith("curl -s ")


def test_the_page_begins_with_the_plot_that_answers(
    browser: Browser, service_url: str, client: Client
) -> None:
    spec = {**SPEC, "kind": "gradient_spectrum", "epochs": 1, "steps": [1, 2]}
    made = client.submit(spec, name="answered by a plot").id
    client.wait(made, timeout=120)
    browser.open(f"{service_url}/view/{made}")
    browser.wait_for("document.querySelector('#answer img').naturalWidth > 0")
    names = "[...document.querySelectorAll('figure[data-plot]')].map((one) => one.dataset.plot)"
    found = browser.evaluate(names)
    assert found[0] == "spectrum"
    assert found.count("spectrum") == 1, "not a second time among the plots"
    is_before = (
        "document.getElementById('answer').compareDocumentPosition("
        "document.getElementById('result-table')) & Node.DOCUMENT_POSITION_FOLLOWING"
    )
    assert browser.evaluate(is_before)


def test_a_text_replaces_blank_plots(browser: Browser, service_url: str, client: Client) -> None:
    failing = client.submit({**SPEC, "data": {"name": "cifar10"}}, name="no data").id
    client.wait(failing, timeout=120)
    browser.open(f"{service_url}/view/{failing}")
    browser.wait_for(
        "!document.getElementById('no-plots').hidden && document.getElementById('plot-grid').hidden"
    )
    assert browser.evaluate("document.querySelectorAll('#result-table table').length") == 0


def test_the_text_of_a_plot_is_legible_on_a_phone(
    browser: Browser, service_url: str, finished: tuple[str, str]
) -> None:
    browser.resize(390, 844)
    browser.open(f"{service_url}/view/{finished[0]}")
    browser.evaluate(
        "document.querySelectorAll('img.plot').forEach((one) => { one.loading = 'eager'; }); true"
    )
    # The page sets the least width of a plot in its load event.
    browser.wait_for(
        "[...document.querySelectorAll('img.plot')]"
        ".every((one) => one.naturalWidth && one.style.minWidth)"
    )
    scales = browser.evaluate(
        "[...document.querySelectorAll('img.plot')]"
        ".map((one) => one.getBoundingClientRect().width / one.naturalWidth)"
    )
    assert min(scales) > 0.39
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_files_of_plots_have_the_width_of_a_paper_s_column(
    browser: Browser, service_url: str, finished: tuple[str, str]
) -> None:
    browser.open(f"{service_url}/view/{finished[0]}")
    browser.evaluate(
        "(() => { for (const [id, change] of [['file-width', (at) => { at.value = 'column'; }],"
        " ['file-title', (at) => { at.checked = false; }]]) {"
        " const at = document.getElementById(id); change(at);"
        " at.dispatchEvent(new Event('change', {bubbles: true})); } })()"
    )
    links = browser.evaluate(
        "[...document.querySelectorAll('#plot-grid figcaption a')].map((one) => one.href)"
    )
    pdf = next(link for link in links if ".pdf" in link)
    assert pdf.endswith("?width=column&title=none")
    assert not [link for link in links if ".json" in link and "width" in link]
    content = httpx.get(pdf).content
    width = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+)", content)
    assert width is not None
    assert float(width[1]) == 234, "3.25 inches of 72 points"


def test_on_a_phone_the_list_of_guide_pages_is_closed(browser: Browser, service_url: str) -> None:
    for width, is_open in ((390, False), (1280, True)):
        browser.resize(width, 844)
        browser.open(f"{service_url}/guide/concepts")
        assert browser.evaluate("document.getElementById('guide-pages').open") is is_open


def test_the_list_updates_without_a_reload_and_keeps_the_selection(
    browser: Browser, service_url: str, client: Client, finished: tuple[str, str]
) -> None:
    browser.open(f"{service_url}/")
    browser.evaluate(
        f"window.notReloaded = true; document.getElementById('pick-{finished[0]}').click(); true"
    )
    added = client.submit({**SPEC, "epochs": 1}, name="submitted later").id
    browser.wait_for(f"document.getElementById('pick-{added}')")
    assert browser.evaluate(
        f"window.notReloaded && document.getElementById('pick-{finished[0]}').checked"
    )
    browser.evaluate(f"document.getElementById('pick-{finished[1]}').click(); true")
    assert browser.evaluate("document.getElementById('compare').disabled") is False
    browser.evaluate("document.getElementById('compare').click(); true")
    browser.wait_for("location.pathname === '/compare' && document.readyState === 'complete'")
    browser.wait_for(HAS_CURVES)
    assert browser.evaluate("document.querySelectorAll('.legend .entry').length") == 2
    assert "spec.optimizer.lr" in browser.evaluate("document.body.textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_every_page_fits_its_screen(
    browser: Browser,
    service_url: str,
    finished: tuple[str, str],
    scheme: str,
    width: int,
    height: int,
) -> None:
    browser.prefer(scheme)
    browser.resize(width, height)
    for path in PATHS:
        browser.open(service_url + path.format(one=finished[0], other=finished[1]))
        if "id=" in path or "view" in path:
            browser.wait_for(HAS_CURVES)
        # A phone's browser widens its window to content that does not fit.
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, path
        color = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (color == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_keyboard_reaches_every_control_and_the_focus_is_visible(
    browser: Browser, service_url: str, finished: tuple[str, str]
) -> None:
    browser.open(f"{service_url}/view/{finished[0]}")
    browser.wait_for(HAS_CURVES)
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    browser.press("Enter", 13, "\r")
    browser.wait_for("document.activeElement.id === 'content'")
    seen = []
    for _ in range(40):
        browser.press("Tab", 9)
        seen.append(
            browser.evaluate(
                "(() => { const at = document.activeElement, style = getComputedStyle(at);"
                " return [at.tagName, at.id || at.textContent.trim().slice(0, 30),"
                " style.outlineStyle]; })()"
            )
        )
    names = {name for _, name, _ in seen}
    assert {"Submit a copy", "Compare", "band", "log-steps", "Result"} <= names
    assert all(outline != "none" for tag, _, outline in seen if tag != "BODY")
