"""Data sets in a real browser: a file is previewed, stored or discarded, shown and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from richregime import Client
from tests.api.test_importing import IRIS, zip_of_images
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

SUBMIT = "document.getElementById('upload').click(); true"
STORE = "document.getElementById('store').click(); true"
IS_SHOWN = (
    "!document.getElementById('preview').hidden && !document.getElementById('upload').disabled"
)
PREVIEW = "document.getElementById('preview').textContent.replace(/\\s+/g, ' ')"
ERRORS = "document.getElementById('upload-errors').textContent"


def choose(browser: Browser, url: str, file: Path) -> None:
    browser.open(f"{url}/data")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


def fill(browser: Browser, name: str, value: str) -> None:
    """As a user who leaves the field after it is changed."""
    field = f"document.getElementById('{name}')"
    browser.evaluate(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('change')); true")


def stored_names(client: Client) -> list[str]:
    return [one.name for one in client.datasets() if one.source == "registered"]


def test_a_table_is_uploaded_after_its_errors_are_repaired_and_deleted(
    browser: Browser, service_url: str, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "My Flowers.csv"
    file.write_text(IRIS + "7,,setosa\n8,x,setosa\n")
    choose(browser, service_url, file)
    assert browser.evaluate("document.getElementById('name').value") == "my_flowers"
    browser.evaluate(SUBMIT)
    browser.wait_for("document.querySelectorAll('#upload-errors li').length === 2")
    assert "My Flowers.csv: line 42, column 'width': the value is missing" in browser.evaluate(
        ERRORS
    )
    assert not browser.evaluate("document.getElementById('upload').disabled")
    browser.errors.clear()  # the refusal

    file.write_text(IRIS)
    choose(browser, service_url, file)
    fill(browser, "name", "flowers")
    fill(browser, "test-share", "0.5")
    browser.evaluate(SUBMIT)
    browser.wait_for(IS_SHOWN)
    assert "flowers" not in stored_names(client)
    browser.evaluate(STORE)
    browser.wait_for("location.pathname === '/data/flowers' && document.readyState === 'complete'")
    (made,) = [one for one in client.datasets() if one.name == "flowers"]
    assert made.class_counts == {"train": [10, 10], "test": [10, 10]}
    browser.evaluate("window.confirm = () => true; document.getElementById('delete').click(); true")
    browser.wait_for("location.pathname === '/data'")
    assert "flowers" not in stored_names(client)


def test_a_changed_choice_refreshes_the_preview_and_discarding_leaves_nothing(
    browser: Browser, service_url: str, client: Client, tmp_path: Path
) -> None:
    table = tmp_path / "colours.csv"
    lines = IRIS.splitlines()
    table.write_text("\n".join([f"{lines[0]},colour", *(f"{line},red" for line in lines[1:])]))
    before = stored_names(client)
    choose(browser, service_url, table)
    browser.evaluate(SUBMIT)
    browser.wait_for("document.querySelectorAll('#upload-errors li').length === 1")
    assert browser.evaluate(ERRORS) == (
        "colours.csv: the column of labels, 'colour' (the last of length, width, species, colour), "
        "holds one class ('red'); at least two are needed"
    )
    assert browser.evaluate("document.getElementById('preview').hidden")
    browser.errors.clear()  # the refusal

    fill(browser, "label", "species")
    browser.wait_for(IS_SHOWN)
    text = browser.evaluate(PREVIEW)
    assert "Preview of colours" in text
    assert "2 features, float32 · 2 classes · 32 to train, 8 to test" in text
    assert "column 'colour' was left out: it holds text (line 2: 'red')" in text
    assert browser.evaluate(
        "[...document.querySelectorAll('#preview-classes tbody tr')].map((row) => row.innerText"
        ".split(/\\s+/).join(' '))"
    ) == ["setosa 16 4", "virginica 16 4"]
    assert browser.evaluate(
        "[...document.querySelectorAll('#preview-examples thead th')].map((cell) => "
        "cell.textContent)"
    ) == ["Class", "length", "width"]
    assert browser.evaluate(
        "[...document.querySelectorAll('#columns option')].map((option) => option.value)"
    ) == ["length", "width", "species", "colour"]
    fill(browser, "test-share", "0.5")
    browser.wait_for(f"{PREVIEW}.includes('20 to train, 20 to test')")
    assert (
        browser.evaluate("document.querySelector('#preview-classes .train').style.width") == "50%"
    )

    fill(browser, "name", "digits")
    browser.wait_for("!document.getElementById('preview-conflict').hidden")
    assert "'digits' is built in; choose another name" in browser.evaluate(PREVIEW)
    assert browser.evaluate("document.getElementById('store').disabled")
    browser.evaluate("document.getElementById('discard').click(); true")
    assert browser.evaluate("document.getElementById('preview').hidden")
    assert browser.evaluate("document.getElementById('file').value") == ""
    assert stored_names(client) == before


def test_a_zip_archive_of_images_is_uploaded_and_its_picture_is_shown(
    browser: Browser, service_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "pets.zip"
    file.write_bytes(zip_of_images())
    choose(browser, service_url, file)
    fill(browser, "side", "16")
    browser.evaluate(SUBMIT)
    browser.wait_for(IS_SHOWN)
    assert "images of 1 × 16 × 16 (channels, height, width), uint8" in browser.evaluate(PREVIEW)
    fill(browser, "colour", "colour")
    browser.wait_for(f"{PREVIEW}.includes('images of 3 × 16 × 16')")
    browser.wait_for(
        "[...document.querySelectorAll('#preview img')].map((image) => image.naturalWidth).join()"
        " === '398,398'"
    )
    assert browser.evaluate(
        "[...document.querySelectorAll('#preview-examples tbody th')].map((cell) => "
        "cell.textContent)"
    ) == ["cat", "dog"]
    browser.evaluate(STORE)
    browser.wait_for("location.pathname === '/data/pets'")
    browser.wait_for("document.querySelector('img')?.naturalWidth > 0")
    assert browser.evaluate("document.querySelector('img').naturalHeight") == 98
    assert "images of 3 × 16 × 16" in browser.evaluate("document.body.textContent")
