"""A client that has read only the tools' descriptions reproduces Figure 2 and names the claims."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.up import Stack
from richregime import Client
from tests.api.api_server import make_settings
from tests.client.mcp_reader import Reader, outline
from tests.client.mcp_sessions import Session, over_http, over_stdio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_500),
    pytest.mark.xdist_group("mcp_transcript"),
]

TRANSCRIPT = Path(__file__).parent / "transcripts" / "fig2_quick.json"
"""The outline of the calls of the first run; a failing test writes a new one beside its files."""
VERDICTS = {"reproduced", "not reproduced", "inconclusive"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole service with the endpoint `/mcp`."""
    home = tmp_path_factory.mktemp("figure")
    with Stack(home, 0, settings=make_settings(home, mcp=True)) as stack:
        yield stack


@asynccontextmanager
async def session_over(transport: str, url: str) -> AsyncIterator[Session]:
    opened = over_http(url) if transport == "http" else over_stdio(url)
    async with opened as session:
        yield session


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_figure_2_is_reproduced_and_its_claims_are_judged(
    service: Stack, transport: str, tmp_path: Path
) -> None:
    """The second transport finds the experiment of the first, which is not computed again."""

    async def play() -> tuple[Reader, dict[int, str]]:
        async with session_over(transport, service.url) as session:
            reader = Reader(session)
            return reader, await reader.judge("Figure 2")

    reader, verdicts = asyncio.run(play())
    (tmp_path / "transcript.json").write_text(json.dumps(reader.transcript, indent=1))
    found = outline(reader.transcript)
    (tmp_path / TRANSCRIPT.name).write_text(json.dumps(found, indent=1) + "\n")

    assert [*verdicts] == [1, 2, 3, 4], "the claims that Figure 2 tests"
    assert set(verdicts.values()) <= VERDICTS
    with Client(service.url) as client:
        (experiment,) = client.list().items
        published = client.comparison(experiment.id)
        assert verdicts == {one.claim: one.verdict for one in published.verdicts}
        assert published.complete
    kept = json.loads(TRANSCRIPT.read_text(encoding="utf-8"))
    assert [(one["tool"], one["arguments"]) for one in found] == [
        (one["tool"], one["arguments"]) for one in kept
    ]
    changing = ("preview", "submit")  # they tell that the experiment exists
    for ours, theirs in zip(found, kept, strict=True):
        if ours["tool"] not in changing:
            assert ours["answer"] == theirs["answer"], ours["tool"]
