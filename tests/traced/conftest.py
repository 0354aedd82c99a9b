"""A host that reads the plug-ins of these tests, or of a folder that a test fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.models.host import set_net_host
from engine.models.local_host import LocalHost
from tests.engine_lws.runner import Runner

PLUGINS = Path(__file__).with_name("plugins")


@pytest.fixture
def host() -> Iterator[LocalHost]:
    found = LocalHost(PLUGINS)
    before = set_net_host(found)
    yield found
    set_net_host(before)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def write_plugin(tmp_path: Path) -> Iterator[Callable[[str, str], LocalHost]]:
    """Writes a plug-in file and returns the host that reads its folder."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    found = LocalHost(folder)
    before = set_net_host(found)

    def write(name: str, text: str) -> LocalHost:
        (folder / name).write_text(text)
        return found

    yield write
    set_net_host(before)
