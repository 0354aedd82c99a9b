"""The interactive charts of the pages send nothing to another machine."""

from __future__ import annotations

import pytest

from richregime import Client
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

HAS_CURVES = "document.querySelectorAll('.curve .main-svg').length"
CONTROLS = "[...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)"


def test_no_control_of_a_chart_offers_an_upload(
    browser: Browser, client: Client, service_url: str
) -> None:
    experiment = client.submit(
        {
            "kind": "train",
            "data": {"name": "digits", "train_size": 200, "test_size": 100},
            "epochs": 2,
        },
        name="charts",
    )
    client.wait(experiment.id, timeout=170)
    browser.open(f"{service_url}/view/{experiment.id}")
    browser.wait_for(HAS_CURVES)
    controls = browser.evaluate(CONTROLS)
    assert controls, "the charts have controls"
    words = ("share", "cloud", "studio", "upload", "send")
    assert [one for one in controls if any(word in one.lower() for word in words)] == []
