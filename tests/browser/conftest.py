"""A service with all its processes, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.ports import free_port
from ops.up import Stack
from richregime import Client
from tests.browser.chrome import Browser, chromium, find_chromium


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with broker, API and workers."""
    with Stack(tmp_path_factory.mktemp("service"), free_port()) as stack:
        yield stack.url


@pytest.fixture(scope="module")
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url) as opened:
        yield opened


@pytest.fixture
def browser(tmp_path: Path, service_url: str) -> Iterator[Browser]:
    """A new browser; after the test, no page may have logged errors or contacted other hosts."""
    program = find_chromium()
    if program is None:
        pytest.fail("Chromium is not installed (Debian: apt-get install chromium)")
    with chromium(program, tmp_path / "profile") as opened:
        opened.resize(1280, 900)
        yield opened
        opened.listen(0.2)
        assert opened.errors == []
        assert [
            url for url in opened.requested if not url.startswith((service_url, "data:", "blob:"))
        ] == []
