"""No page breaks a rule of axe-core, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from api.web import guide
from richregime import Client
from tests.browser.chrome import Browser

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
DATA = {"name": "digits", "train_size": 128, "test_size": 64}
LONG = "a long name of an experiment that differs from others at its end " * 3
WORD = "alabelwithoutanyspace" * 4
LOOKS = [(scheme, size) for scheme in ("light", "dark") for size in ((1440, 900), (390, 844))]
GUIDES = ("", "/reference", "/errors", "/kinds/lws", "/paper-map", "/command-line")
NOT_OURS = {"/docs": "Swagger UI"}
AXE = """
axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.flatMap((rule) =>
  rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`)))
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The program axe-core."""
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def experiments(client: Client) -> dict[str, str]:
    """The id of one experiment of each kind and state, by what it shows."""
    spec = {"data": DATA, "model": {"width": 4}, "epochs": 2, "batch_size": 32}
    seeds = [0, 1, 2]
    rates = {"optimizer.lr": [0.001, 0.01]}
    policies = [{"name": "full"}, {"name": "top_k", "k": 1}]
    made = {
        "train": client.submit({"kind": "train", **spec}, sweep=rates, seeds=seeds),
        "reinit_sweep": client.submit({"kind": "reinit_sweep", **spec}, seeds=seeds),
        "activity_map": client.submit({"kind": "activity_map", **spec}, seeds=seeds),
        "lws": client.submit({"kind": "lws", **spec}, sweep={"policy": policies}, seeds=seeds),
        "gradient_spectrum": client.submit(
            {"kind": "gradient_spectrum", **spec, "steps": [1, 4]}, seeds=seeds
        ),
        "connectivity": client.submit({"kind": "connectivity", **spec}, seeds=seeds),
        "not finite": client.submit(
            {"kind": "train", **spec, "optimizer": {"name": "sgd", "lr": 100.0}}, seeds=seeds
        ),
        "long names": client.submit(
            {"kind": "train", **spec, "epochs": 3}, name=LONG[:200], labels={WORD[:50]: WORD}
        ),
    }
    for one in made.values():
        assert client.wait(one.id, timeout=170).terminal
    return {name: one.id for name, one in made.items()}


def list_paths(client: Client, experiments: dict[str, str]) -> Iterator[str]:
    yield from ("/", "/?q=nothing", "/submit", "/submit?kind=lws", "/machines", "/uploads")
    yield from ("/data", "/data/digits", "/login", "/view/exp_0", "/nothing")
    yield f"/compare?id={experiments['train']}&id={experiments['long names']}"
    yield from (f"/view/{one}" for one in experiments.values())
    yield f"/view/runs/{next(iter(client.runs(experiments['train']))).id}"
    yield from (f"/guide{name}" for name in GUIDES)


def test_every_page_is_in_the_list(client: Client, experiments: dict[str, str]) -> None:
    """The routes of pages, from the code: each has an address in the list."""
    routes = [
        match[1]
        for path in sorted((ROOT / "api/web/pages").glob("*.py"))
        for match in re.finditer(r'@router\.get\("([^"]+)"\)', path.read_text(encoding="utf-8"))
        if not match[1].endswith((".png", ".js", ".txt", ".md")) and match[1] not in NOT_OURS
    ]
    assert len(routes) > 10
    paths = [path.partition("?")[0] for path in list_paths(client, experiments)]
    for route in routes:
        pattern = re.sub(r"\{[^}]+:path\}", ".+", route)
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", pattern)
        assert any(re.fullmatch(pattern, path) for path in paths), route
    known = {page.slug for page in guide.list_pages()}
    assert {name.lstrip("/") for name in GUIDES if name} <= known


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Browser,
    service_url: str,
    client: Client,
    experiments: dict[str, str],
    axe: str,
    scheme: str,
    size: tuple[int, int],
) -> None:
    browser.prefer(scheme)
    browser.resize(*size)
    found = {}
    for path in list_paths(client, experiments):
        open_whole(browser, service_url + path)
        browser.evaluate(f"{axe}; true")
        violations = browser.evaluate(AXE)
        if browser.evaluate("document.documentElement.scrollWidth") > size[0]:
            violations.append("wider than the screen")
        if violations:
            found[path] = violations
    browser.errors.clear()  # the two addresses without a page
    assert found == {}


def test_axe_finds_a_control_inside_an_image(browser: Browser, service_url: str, axe: str) -> None:
    """The test above can fail."""
    open_whole(browser, f"{service_url}/guide")
    browser.evaluate("document.querySelector('main').setAttribute('role', 'img'); true")
    browser.evaluate(f"{axe}; true")
    assert "nested-interactive: #content" in "\n".join(browser.evaluate(AXE))


def open_whole(browser: Browser, url: str) -> None:
    """Open a page with its folded parts unfolded and its curves drawn."""
    browser.open(url)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    drawn = (
        "[...document.querySelectorAll('.curve')].every((one) => one.querySelector('.main-svg'))"
    )
    browser.wait_for(drawn)
    browser.listen(0.2)
