"""A client of MCP that knows a task, and of the server only what it lists: a scripted assistant."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from mcp_types import ImageContent, TextContent, Tool

from tests.client.mcp_sessions import Session, id_in

WORDS = {
    "presets": ("figures and tables of the paper", "ready to submit"),
    "preview": ("cost", "Starts nothing"),
    "submit": ("Submits", "preview tells the price"),
    "wait": ("Waits until an experiment has ended",),
    "result": ("result of an experiment that has ended",),
    "plot": ("as an image",),
    "comparison": ("Which claims of the paper", "hold in an experiment"),
}
"""What a reader looks for in the descriptions, by the name of the tool that it finds"""


@dataclass
class Reader:
    """Finds tools and arguments by words of their descriptions, and keeps what it called."""

    session: Session
    tools: list[Tool] = field(default_factory=list)
    transcript: list[dict[str, Any]] = field(default_factory=list)

    async def read_descriptions(self) -> dict[str, Tool]:
        """The tools that reproduce a figure, by `WORDS`."""
        self.tools = (await self.session.client.list_tools()).tools
        return {name: self.tool(*words) for name, words in WORDS.items()}

    def tool(self, *words: str) -> Tool:
        """The first tool whose description has all the words."""
        for tool in self.tools:
            if all(word in (tool.description or "") for word in words):
                return tool
        raise AssertionError(f"no description has {words}")

    @staticmethod
    def argument(tool: Tool, *words: str) -> str:
        """The first argument of the tool whose description has all the words."""
        for name, schema in tool.input_schema["properties"].items():
            if all(word in schema.get("description", "") for word in words):
                return str(name)
        raise AssertionError(f"no argument of {tool.name} is described by {words}")

    async def call(self, tool: Tool, **arguments: Any) -> str:
        """The whole text of a tool, also where it is cut; of an image its type."""
        parts: list[str] = []
        more: dict[str, Any] = {}
        while True:
            result = await self.session.client.call_tool(tool.name, {**arguments, **more})
            (content,) = result.content
            if isinstance(content, ImageContent):
                parts = [f"{content.mime_type}, {len(content.data) > 10_000}"]
                break
            assert isinstance(content, TextContent)
            assert not result.is_error, content.text
            shown, _, end = content.text.partition("\n[cut: ")
            parts.append(shown)
            following = re.search(r"(\w+)=(\d+)", end)
            if following is None:
                break
            more = {following[1]: int(following[2])}
        text = "".join(parts)
        self.transcript.append({"tool": tool.name, "arguments": arguments, "answer": text})
        return text

    async def judge(self, figure: str) -> dict[int, str]:
        """Reproduce a figure of the paper at quick scale; returns the verdict on each claim."""
        tools = await self.read_descriptions()
        presets, wait = tools["presets"], tools["wait"]
        lines = (await self.call(presets)).splitlines()
        number = figure.removeprefix("Figure ")
        line = next(one for one in lines if re.match(rf"fig{number} ", one))
        name = line.split()[0]
        body = json.loads(await self.call(presets, **{self.argument(presets, "One preset"): name}))
        assert body["scale"] == "quick"
        assert body["departures"], "these belong to the answer"

        of_preset = {self.argument(tools["preview"], "name of a preset"): name}
        price = await self.call(tools["preview"], **of_preset)
        details = json.loads(price[price.index("{") :])
        if "An identical experiment exists" not in price:
            assert details["seconds"] <= details["seconds_without_confirm"], "ask the user"
        experiment_id = id_in(await self.call(tools["submit"], **of_preset))

        seconds_name = self.argument(wait, "longest wait")
        longest = wait.input_schema["properties"][seconds_name]["maximum"]
        of_experiment = {self.argument(wait, "Id of an experiment"): experiment_id}
        ended = False
        while not ended:
            text = await self.call(wait, **of_experiment, **{seconds_name: longest})
            ended = '"terminal": true' in text
        assert '"status": "succeeded"' in text

        await self.call(tools["result"], **of_experiment)
        plot = tools["plot"]
        first_plot = (await self.call(plot, **of_experiment)).partition(":")[0]
        picture = {self.argument(plot, "Name of the plot"): first_plot}
        await self.call(plot, **of_experiment, **picture)
        judged = json.loads(await self.call(tools["comparison"], **of_experiment))
        return {one["claim"]: one["verdict"] for one in judged["verdicts"]}


def outline(transcript: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The transcript without what differs between two machines: numbers, ids, repeated waits."""
    found: list[dict[str, Any]] = []
    for entry in transcript:
        arguments = {
            name: re.sub(r"exp_[0-9a-f]+", "exp_", value) if isinstance(value, str) else value
            for name, value in entry["arguments"].items()
        }
        short = {"tool": entry["tool"], "arguments": arguments, "answer": _shape(entry["answer"])}
        if found and found[-1]["tool"] == short["tool"] == "wait":
            found.pop()
        found.append(short)
    return found


def _shape(text: str) -> Any:
    """Of JSON the names of its fields, of other text its first line without numbers."""
    try:
        return _names(json.loads(text))
    except ValueError:
        return re.sub(r"exp_[0-9a-f]+|[\d.,]*\d", "#", text.partition("\n")[0])


def _names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _names(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_names(value[0])] if value else []
    return type(value).__name__
