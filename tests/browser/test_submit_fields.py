"""The form of a new experiment: fields from the schema, in step with the JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.web.formatting import format_seconds
from richregime import Client
from tests.browser.chrome import Browser

pytestmark = pytest.mark.xdist_group("browser-submit")

READY = (
    "document.querySelectorAll('.form-row').length > 5"
    " && document.getElementById('verdict').textContent !== '…'"
)


def open_form(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait_for(READY)


def body_of(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = browser.evaluate("JSON.parse(body.value)")
    return found


def set_field(browser: Browser, field: str, text: str) -> None:
    """Type a text into a field, or choose it."""
    browser.evaluate(
        f"(() => {{ const at = document.getElementById('{field}'); at.value = {json.dumps(text)};"
        " at.dispatchEvent(new Event(at.matches('select') ? 'change' : 'input', {bubbles: true}));"
        " })()"
    )


def press(browser: Browser, label: str) -> None:
    browser.evaluate(f"document.querySelector('button[aria-label=\"{label}\"]').click(); true")


def wait_for_verdict(browser: Browser, text: str) -> None:
    browser.wait_for(f"document.getElementById('verdict').textContent.includes({json.dumps(text)})")


def replace_body(browser: Browser, body: dict[str, Any]) -> None:
    set_field(browser, "body", json.dumps(body))


def test_every_field_of_every_kind_has_an_input(
    browser: Browser, service_url: str, client: Client
) -> None:
    for kind in client.kinds():
        open_form(browser, f"{service_url}/submit?kind={kind.name}")
        replace_body(browser, {"spec": {"kind": kind.name}})
        pointers = browser.evaluate(
            "[...document.querySelectorAll('#fields [data-pointer], #fields [data-section]')]"
            ".map((one) => one.dataset.pointer ?? `#/spec/${one.dataset.section}`)"
        )
        for name in kind.spec_schema["properties"]:
            assert f"#/spec/{name}" in pointers or any(
                one.startswith(f"#/spec/{name}/") for one in pointers
            ), (kind.name, name)
        browser.evaluate("localStorage.clear()")


def test_a_field_changes_the_body_and_only_what_differs_is_sent(
    browser: Browser, service_url: str
) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    replace_body(browser, {"spec": {"kind": "train"}})
    set_field(browser, "field-epochs", "3")
    set_field(browser, "field-optimizer-lr", "3e-3")
    set_field(browser, "field-data-corruption-permuted_labels", "true")
    set_field(browser, "field-checkpoints-epochs", "1, 2")
    set_field(browser, "seeds", "0-2, 7")
    assert body_of(browser) == {
        "spec": {
            "kind": "train",
            "epochs": 3,
            "optimizer": {"lr": 0.003},
            "data": {"corruption": {"permuted_labels": True}},
            "checkpoints": {"epochs": [1, 2]},
        },
        "seeds": [0, 1, 2, 7],
    }
    wait_for_verdict(browser, "The experiment is valid.")
    set_field(browser, "field-epochs", "20")
    set_field(browser, "field-optimizer-lr", "")
    set_field(browser, "field-data-corruption-permuted_labels", "false")
    set_field(browser, "field-checkpoints-epochs", "")
    assert body_of(browser)["spec"] == {"kind": "train"}, "all are defaults"
    assert browser.errors == []


def test_a_variant_shows_its_own_fields(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    replace_body(browser, {"spec": {"kind": "train", "optimizer": {"lr": 0.1}}})
    set_field(browser, "field-optimizer", "sgd")
    assert body_of(browser)["spec"]["optimizer"] == {"name": "sgd"}
    set_field(browser, "field-optimizer-momentum", "0.5")
    assert body_of(browser)["spec"]["optimizer"] == {"name": "sgd", "momentum": 0.5}
    set_field(browser, "field-optimizer", "adam")
    assert body_of(browser)["spec"] == {"kind": "train"}
    assert browser.evaluate("document.getElementById('field-optimizer-momentum')") is None
    wait_for_verdict(browser, "The experiment is valid.")


def test_one_click_sweeps_a_field_and_one_ends_it(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit?kind=lws")
    replace_body(browser, {"spec": {"kind": "lws", "model": {"width": 50}}})
    press(browser, "Sweep model.width")
    set_field(browser, "field-model-width", "10, 20")
    press(browser, "Sweep policy")
    set_field(browser, "field-policy", 'full, {"name": "top_k", "k": 1}')
    assert body_of(browser) == {
        "spec": {"kind": "lws"},
        "sweep": {"model.width": [10, 20], "policy": [{"name": "full"}, {"name": "top_k", "k": 1}]},
    }
    browser.wait_for("document.getElementById('cost').textContent.includes('Points × seeds4 × 1')")
    press(browser, "Do not sweep model.width")
    press(browser, "Do not sweep policy")
    assert body_of(browser) == {
        "spec": {"kind": "lws", "model": {"width": 10}, "policy": {"name": "full"}}
    }


def test_the_json_changes_the_fields(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    sweep = {"optimizer.lr": [0.1, 0.2]}
    replace_body(browser, {"spec": {"kind": "lws", "epochs": 7}, "seeds": [3], "sweep": sweep})
    values = browser.evaluate(
        "['kind', 'seeds', 'field-epochs', 'field-optimizer-lr']"
        ".map((id) => document.getElementById(id).value)"
    )
    assert values == ["lws", "3", "7", "0.1, 0.2"]
    set_field(browser, "kind", "train")
    assert body_of(browser)["spec"] == {"kind": "train", "epochs": 7}


def test_an_error_stands_at_its_field(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    replace_body(browser, {"spec": {"kind": "train"}, "sweep": {"batch_size": [64, 0]}})
    set_field(browser, "field-optimizer-lr", "fast")
    browser.wait_for("document.querySelectorAll('#problems li').length === 2")
    shown = browser.evaluate(
        "['field-optimizer-lr-error', 'field-batch_size-error']"
        ".map((id) => document.getElementById(id).textContent)"
    )
    assert "valid number" in shown[0]
    assert "greater than or equal to 2" in shown[1]
    browser.evaluate("document.querySelector('#problems button').click(); true")
    assert browser.evaluate("document.activeElement.id") == "field-optimizer-lr"
    set_field(browser, "field-optimizer-lr", "0.1")
    set_field(browser, "field-batch_size", "64, 32")
    wait_for_verdict(browser, "The experiment is valid.")
    assert browser.evaluate("document.querySelectorAll('#fields [aria-invalid]').length") == 0
    assert all("422" in error for error in browser.errors)
    browser.errors.clear()


def test_a_draft_survives_a_reload_and_is_not_replaced_without_asking(
    browser: Browser, service_url: str
) -> None:
    open_form(browser, f"{service_url}/submit")
    set_field(browser, "field-epochs", "13")
    open_form(browser, f"{service_url}/submit")
    browser.wait_for("document.getElementById('draft-notice').hidden === false")
    assert body_of(browser)["spec"]["epochs"] == 13
    set_field(browser, "example", "kind:lws")
    browser.wait_for("document.getElementById('draft-text').textContent.includes('your changes')")
    browser.evaluate("document.getElementById('draft-keep').click(); true")
    browser.wait_for("document.getElementById('example').value !== 'kind:lws'")
    assert body_of(browser)["spec"]["epochs"] == 13
    set_field(browser, "example", "kind:lws")
    browser.evaluate("document.getElementById('draft-replace').click(); true")
    browser.wait_for("JSON.parse(body.value).spec.kind === 'lws'")
    set_field(browser, "field-epochs", "4")
    open_form(browser, f"{service_url}/submit?kind=train")
    assert body_of(browser)["spec"]["kind"] == "train"
    assert "Open the draft" in browser.evaluate(
        "document.getElementById('draft-notice').textContent"
    )


def test_more_than_a_day_is_told_in_days_and_asks_to_be_confirmed(
    browser: Browser, service_url: str
) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    spec = {"kind": "train", "epochs": 10_000, "model": {"width": 20_000}}
    replace_body(browser, {"spec": spec, "seeds": list(range(10))})
    browser.wait_for("document.getElementById('long').hidden === false")
    assert " days of device time" in browser.evaluate(
        "document.getElementById('long-text').textContent"
    )
    assert browser.evaluate("document.getElementById('submit').disabled") is True
    browser.evaluate("document.getElementById('confirm-long').click(); true")
    browser.wait_for("document.getElementById('submit').disabled === false")
    browser.evaluate("localStorage.clear()")


def test_the_fields_alone_submit_an_experiment(
    browser: Browser, service_url: str, client: Client
) -> None:
    open_form(browser, f"{service_url}/submit?kind=train")
    set_field(browser, "experiment-name", "by fields")
    set_field(browser, "field-epochs", "1")
    set_field(browser, "seeds", "0")
    wait_for_verdict(browser, "The experiment is valid.")
    told = browser.evaluate("document.getElementById('departures').innerText")
    assert told.splitlines()[0].endswith(" differences from the paper")
    browser.evaluate("document.getElementById('submit').click(); true")
    browser.wait_for("location.pathname.startsWith('/view/') && document.readyState === 'complete'")
    made = client.get(browser.evaluate("location.pathname.split('/').pop()"))
    assert (made.name, made.seeds, made.spec["epochs"]) == ("by fields", [0], 1)
    open_form(browser, f"{service_url}/submit")
    assert browser.evaluate("document.getElementById('draft-notice').hidden") is True


def test_a_draft_that_is_given_up_does_not_come_back(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit")
    set_field(browser, "field-epochs", "13")
    open_form(browser, f"{service_url}/submit")
    browser.wait_for("document.getElementById('draft-notice').hidden === false")
    browser.evaluate("document.getElementById('draft-replace').click(); true")
    browser.wait_for("JSON.parse(body.value).spec.epochs !== 13")
    open_form(browser, f"{service_url}/submit")
    assert browser.evaluate("document.getElementById('draft-notice').hidden") is True


def test_keeping_a_draft_keeps_example_and_reading(browser: Browser, service_url: str) -> None:
    open_form(browser, f"{service_url}/submit?preset=fig2&scale=quick")
    set_field(browser, "field-epochs", "3")
    set_field(browser, "reading", "first_epoch")
    browser.wait_for("document.getElementById('draft-notice').hidden === false")
    browser.evaluate("document.getElementById('draft-keep').click(); true")
    browser.wait_for("document.getElementById('reading').value === ''")
    assert browser.evaluate("document.getElementById('example').value") == "preset:fig2:quick"
    assert "reset_to" not in body_of(browser)["spec"]


def test_without_storage_and_without_the_fields_an_experiment_is_submitted(
    browser: Browser, service_url: str
) -> None:
    """A browser may refuse to store, and the description of the fields may not come."""
    browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', {get() {throw new Error('off')}});"
        " const ask = window.fetch; window.fetch = (path, ...rest) => String(path).endsWith("
        "'/models') ? Promise.reject(new Error('gone')) : ask(path, ...rest)",
    )
    browser.open(f"{service_url}/submit?kind=train")
    browser.wait_for("document.getElementById('fields').textContent.includes('(gone)')")
    spec = {"kind": "train", "epochs": 1, "data": {"name": "digits", "train_size": 100}}
    replace_body(browser, {"spec": spec, "name": "without both"})
    wait_for_verdict(browser, "The experiment is valid.")
    told = browser.evaluate("document.getElementById('departures').innerText")
    assert told.splitlines()[0].endswith(" differences from the paper")
    browser.evaluate("document.getElementById('submit').click(); true")
    browser.wait_for("location.pathname.startsWith('/view/') && document.readyState === 'complete'")


def test_the_scripts_tell_durations_as_the_pages_do(browser: Browser, service_url: str) -> None:
    browser.open(f"{service_url}/submit")
    seconds = [
        0,
        0.04,
        0.4,
        5,
        9.94,
        9.96,
        12.4,
        59.4,
        59.6,
        200,
        3_599,
        7_200,
        7_500,
        172_799,
        13_300_000,
        4e11,
    ]
    told = browser.evaluate(
        f"import('/assets/numbers.js').then(({{duration}}) => {json.dumps(seconds)}.map(duration))"
    )
    assert told == [format_seconds(one) for one in seconds]
