"""Data sets in a real browser: a file is uploaded, checked, shown and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from richregime import Client
from tests.api.test_importing import IRIS, zip_of_images
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

SUBMIT = "document.getElementById('upload').click(); true"
ERRORS = "document.getElementById('upload-errors').textContent"


def choose(browser: Browser, url: str, file: Path) -> None:
    browser.open(f"{url}/data")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


def fill(browser: Browser, name: str, value: str) -> None:
    browser.evaluate(f"document.getElementById('{name}').value = '{value}'; true")


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
    browser.wait_for("location.pathname === '/data/flowers'")
    (made,) = [one for one in client.datasets() if one.name == "flowers"]
    assert made.class_counts == {"train": [10, 10], "test": [10, 10]}
    browser.evaluate("window.confirm = () => true; document.getElementById('delete').click(); true")
    browser.wait_for("location.pathname === '/data'")
    assert "flowers" not in [one.name for one in client.datasets()]


def test_a_zip_archive_of_images_is_uploaded_and_its_picture_is_shown(
    browser: Browser, service_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "pets.zip"
    file.write_bytes(zip_of_images())
    choose(browser, service_url, file)
    fill(browser, "side", "16")
    fill(browser, "colour", "colour")
    browser.evaluate(SUBMIT)
    browser.wait_for("location.pathname === '/data/pets'")
    browser.wait_for("document.querySelector('img')?.naturalWidth > 0")
    assert browser.evaluate("document.querySelector('img').naturalHeight") == 98
    assert "images of 3 × 16 × 16" in browser.evaluate("document.body.textContent")
