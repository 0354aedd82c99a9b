"""Sessions of the official MCP client with `richregime mcp`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import ImageContent, TextContent

Returned = TypeVar("Returned")


@dataclass
class Session:
    """A connected client, and the progress that was reported to it."""

    client: Client
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        """Whether the tool failed, and its text, or the base64 of its image."""
        result = await self.client.call_tool(tool, arguments, progress_callback=self._keep)
        (content,) = result.content
        if isinstance(content, ImageContent):
            return result.is_error, content.data
        assert isinstance(content, TextContent)
        return result.is_error, content.text

    async def answer(self, tool: str, **arguments: Any) -> str:
        """The text of a tool that must not fail."""
        failed, text = await self.call(tool, **arguments)
        assert not failed, text
        return text

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The text of a tool that must fail."""
        failed, text = await self.call(tool, **arguments)
        assert failed, text
        return text

    async def tool_names(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def _keep(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))


def id_in(text: str) -> str:
    """The first id of an experiment in the text."""
    found = re.search(r"exp_[0-9a-f]{16,}", text)
    assert found is not None, text
    return found[0]


@asynccontextmanager
async def over_stdio(url: str, *options: str, key: str | None = None) -> AsyncIterator[Session]:
    """A session with the command, as an assistant starts it."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "richregime", "mcp", "--url", url, *options],
        env={
            "PYTHONPATH": ":".join(path for path in sys.path if path),
            **({"RICHREGIME_KEY": key} if key else {}),
        },
    )
    async with Client(server, read_timeout_seconds=100) as client:
        yield Session(client)


@asynccontextmanager
async def over_http(
    url: str, *, key: str | None = None, mode: str = "auto", **headers: str
) -> AsyncIterator[Session]:
    """A session with the endpoint of the service at `url`."""
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    http = create_mcp_http_client(headers={**shown, **headers})
    transport = streamable_http_client(f"{url}/mcp", http_client=http)
    async with http, Client(transport, mode=mode, read_timeout_seconds=100) as client:
        yield Session(client)


def run_over_http(
    scenario: Callable[[Session], Awaitable[Returned]],
    url: str,
    *,
    key: str | None = None,
    mode: str = "auto",
) -> Returned:
    """Run a scenario in one session over HTTP."""

    async def play() -> Returned:
        async with over_http(url, key=key, mode=mode) as session:
            return await scenario(session)

    return asyncio.run(play())


def run(
    scenario: Callable[[Session], Awaitable[Returned]],
    url: str,
    *options: str,
    key: str | None = None,
) -> Returned:
    """Run a scenario in one session over standard input and output."""

    async def play() -> Returned:
        async with over_stdio(url, *options, key=key) as session:
            return await scenario(session)

    return asyncio.run(play())
