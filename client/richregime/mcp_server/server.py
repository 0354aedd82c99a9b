"""The server of the MCP SDK: lists what the key may do, checks arguments, cuts answers.

Everything that reaches the service goes through a client with the caller's key, so that keys,
scopes, rates and quotas are those of the API.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ImageContent,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool
from pydantic import ValidationError

import richregime
from richregime.async_client import AsyncClient
from richregime.enums import Scope
from richregime.errors import ClientError, ServiceUnreachable
from richregime.formatting import format_duration
from richregime.mcp_server.texts import (
    ToolFailure,
    cut,
    cut_resource,
    failure_text,
    invalid_arguments,
)
from richregime.mcp_server.tools import (
    CONFIRM_ABOVE_SECONDS,
    LISTED_EXPERIMENTS,
    TOOLS,
    Answer,
    Desk,
    Image,
    Tool,
)

Context = ServerRequestContext[Any, Any]
OpenClient = Callable[[Context], AbstractAsyncContextManager[AsyncClient]]
"""The client for one request, with the key of its caller"""

INSTRUCTIONS = """richregime runs deep-learning experiments and judges the claims of Li & Banerjee,
"Experiments with Rich Regime Training for Deep Learning". A usual order: kinds or presets, describe
or presets with a name, preview, submit, wait, result, comparison, plot. Before you submit, tell
your user the price and the departures from the paper. Report intervals and n beside each mean.
Errors name the wrong field by a JSON pointer."""
GUIDE = "richregime://guide/"
RESULT = re.compile(r"richregime://experiments/([A-Za-z0-9_-]{1,64})/(result|comparison)")
PAGE = re.compile(r"richregime://guide/([a-z0-9_-]{1,80}(?:/[a-z0-9_-]{1,80})?)")
LINK = re.compile(r"^- \[([^\]]+)\]\(\S*?/guide/(\S+?)\.md\)$", re.MULTILINE)
MARKDOWN = "text/markdown"


def make_server(
    open_client: OpenClient, confirm_above_seconds: float = CONFIRM_ABOVE_SECONDS
) -> Server[Any]:
    """The server of one service. It keeps nothing between two requests.

    confirm_above_seconds: device seconds above which `submit` needs `confirm`.
    """

    async def list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        async with open_client(context) as client:
            scopes = await _scopes_of(client)
        offered = [tool for tool in TOOLS if scopes.issuperset(tool.scopes)]
        return ListToolsResult(tools=[_list(tool, confirm_above_seconds) for tool in offered])

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        try:
            async with open_client(context) as client:
                desk = Desk(client, context.session.report_progress, confirm_above_seconds)
                content = await _call(desk, params.name, params.arguments or {})
        except ToolFailure as failure:
            return _failed(str(failure))
        except ClientError as error:
            return _failed(failure_text(error))
        return CallToolResult(content=[content])

    async def list_resources(
        context: Context, _: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        with _raising_protocol_errors():
            async with open_client(context) as client:
                resources = [one async for one in _list_resources(client)]
        return ListResourcesResult(resources=resources)

    async def list_templates(
        context: Context, _: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=TEMPLATES)

    async def read_resource(
        context: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        with _raising_protocol_errors():
            async with open_client(context) as client:
                text = await _read_resource(client, str(params.uri))
        contents = TextResourceContents(uri=params.uri, mime_type=MARKDOWN, text=text)
        return ReadResourceResult(contents=[contents])

    return Server(
        "richregime",
        version=richregime.__version__,
        title="richregime: experiments with rich-regime training",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=SCHEMAS.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


async def _scopes_of(client: AsyncClient) -> set[str]:
    """What the key may do. All while the service does not respond: each call then says so."""
    try:
        limits = await client.limits()
    except ServiceUnreachable:
        return {*Scope}
    except ClientError as error:
        raise MCPError(code=INVALID_PARAMS, message=failure_text(error)) from None
    return {*map(str, Scope if limits.scopes is None else limits.scopes)}


def _list(tool: Tool, confirm_above_seconds: float) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description.format(price=format_duration(confirm_above_seconds)),
        input_schema=SCHEMAS[tool.name],
        annotations=ToolAnnotations(
            read_only_hint=tool.is_read_only,
            destructive_hint=tool.is_destructive,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _short_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of arguments without titles, and without null where an argument is left out."""
    properties = {}
    for name, field in schema["properties"].items():
        short = {key: value for key, value in field.items() if key != "title"}
        options = [one for one in short.pop("anyOf", ()) if one != {"type": "null"}]
        if options:
            (option,) = options
            short |= option
        if short.get("default", ...) is None:
            del short["default"]
        properties[name] = short
    required = {"required": schema["required"]} if "required" in schema else {}
    return {"type": "object", "properties": properties, **required, "additionalProperties": False}


SCHEMAS = {tool.name: _short_schema(tool.arguments.model_json_schema()) for tool in TOOLS}


async def _call(desk: Desk, name: str, arguments: dict[str, Any]) -> TextContent | ImageContent:
    tool = next((one for one in TOOLS if one.name == name), None)
    if tool is None:
        known = ", ".join(one.name for one in TOOLS)
        raise ToolFailure(f"there is no tool {name[:80]!r}; tools: {known}")
    try:
        parsed = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        known_arguments = list(tool.arguments.model_fields)
        raise ToolFailure(invalid_arguments(name, error, known_arguments)) from None
    answer = await tool.answer(desk, parsed)
    return _content_of(answer, name, parsed.offset, desk.client.url)


def _content_of(answer: Answer, tool: str, offset: int, url: str) -> TextContent | ImageContent:
    if isinstance(answer.content, Image):
        return ImageContent(data=answer.content.data, mime_type="image/png")
    address = None if answer.path is None else f"{url}{answer.path}"
    return TextContent(text=cut(answer.content, offset, tool, address))


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


@contextmanager
def _raising_protocol_errors() -> Iterator[None]:
    """Errors of the client in the block as errors of the protocol: resources have no other."""
    try:
        yield
    except ClientError as error:
        raise MCPError(code=INVALID_PARAMS, message=failure_text(error)) from None


TEMPLATES = [
    ResourceTemplate(
        name="guide page",
        uri_template=f"{GUIDE}{{page}}",
        description="A page of the guide as Markdown.",
        mime_type=MARKDOWN,
    ),
    ResourceTemplate(
        name="result",
        uri_template="richregime://experiments/{id}/result",
        description="The result of an experiment that has ended, as a table.",
        mime_type=MARKDOWN,
    ),
    ResourceTemplate(
        name="comparison",
        uri_template="richregime://experiments/{id}/comparison",
        description="The verdicts on the paper's claims, as a table.",
        mime_type=MARKDOWN,
    ),
]


async def _list_resources(client: AsyncClient) -> AsyncIterator[Resource]:
    """The pages of the guide, and the results of the newest experiments."""
    for title, page in LINK.findall(await client.guide()):
        yield Resource(name=page, title=title, uri=f"{GUIDE}{page}", mime_type=MARKDOWN)
    newest = await client.list(limit=LISTED_EXPERIMENTS, status="succeeded")
    for one in newest.items:
        yield Resource(
            name=f"result of {one.id}",
            title=one.title,
            uri=f"richregime://experiments/{one.id}/result",
            mime_type=MARKDOWN,
        )


async def _read_resource(client: AsyncClient, uri: str) -> str:
    page, result = PAGE.fullmatch(uri), RESULT.fullmatch(uri)
    if page is not None:
        text = await client.guide(page[1])
        return cut_resource(text, f"{client.url}/guide/{page[1]}.md")
    if result is None:
        raise MCPError(
            code=INVALID_PARAMS,
            message=f"there is no resource {uri[:120]!r}; known: {GUIDE}PAGE, "
            "richregime://experiments/ID/result, richregime://experiments/ID/comparison",
        )
    write = client.comparison_text if result[2] == "comparison" else client.result_text
    text = await write(result[1], "markdown")
    return cut_resource(text, f"{client.url}/experiments/{result[1]}/{result[2]}.md")


def serve_stdio(
    url: str | None, key: str | None, confirm_above_seconds: float = CONFIRM_ABOVE_SECONDS
) -> None:
    """Serve over standard input and output until the input ends.

    Raises InvalidConnection for an address or key that cannot be one.
    """

    async def serve() -> None:
        async with (
            AsyncClient(url, key=key, max_retries=2) as client,
            stdio_server() as (received, sent),
        ):

            @asynccontextmanager
            async def open_client(_: Context) -> AsyncIterator[AsyncClient]:
                yield client

            server = make_server(open_client, confirm_above_seconds)
            await server.run(received, sent, server.create_initialization_options())

    anyio.run(serve)
