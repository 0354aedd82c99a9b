"""The page of an experiment shows the verdicts on the claims of its submission."""

from __future__ import annotations

import pytest

from richregime import Client
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror=alert(1)> & "more"'


def test_own_claims_have_a_table_before_those_of_the_paper(
    browser: Browser, client: Client, service_url: str
) -> None:
    data = {"name": "digits", "train_size": 200, "test_size": 100}
    made = client.submit(
        {"kind": "train", "epochs": 1, "data": data},
        sweep={"model.width": [10, 40]},
        seeds=[0, 1, 2],
        claims=[
            {"name": HOSTILE, "quantity": "test_accuracy", "point": 1, "at_least": 0.0},
            {"name": "nothing is learned", "quantity": "train_loss", "at_most": 0.0},
            {"name": "alike", "quantity": "test_accuracy", "versus": 1, "within": [-1, 1]},
        ],
    )
    client.wait(made.id, timeout=120)
    browser.open(f"{service_url}/view/{made.id}")
    browser.wait_for("document.querySelector('#own-claims')")
    texts = "[...document.querySelectorAll('#own-claims tbody tr')].map((row) => row.innerText)"
    rows = browser.evaluate(texts)
    assert rows[0].startswith(HOSTILE)
    assert "is at least 0 %" in rows[0]
    names = "[...document.querySelectorAll('#own-claims .verdict')].map((one) => one.className)"
    assert browser.evaluate(names) == [
        "verdict reproduced",
        "verdict not-reproduced",
        "verdict reproduced",
    ]
    assert "less that at width 40, paired by seed" in rows[2]
    first = "document.querySelector('#comparison table').id"
    assert browser.evaluate(first) == "own-claims"
    heading = "document.getElementById('paper').textContent"
    assert browser.evaluate(heading) == "Claims, and comparison with the paper"
    browser.resize(390, 844)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
