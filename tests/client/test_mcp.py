"""`richregime mcp` with the official client: tools, price, cuts, errors, resources."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import MCPError
from mcp.client.client import Client as McpClient

from ops.ports import free_port
from richregime import AsyncClient, InvalidArgument, ProblemError, async_client, calls
from richregime import Client as RestClient
from richregime.commands.agents import CONFIRM_ABOVE_SECONDS as OPTION_DEFAULT
from richregime.mcp_server import texts
from richregime.mcp_server.server import make_server
from richregime.mcp_server.texts import MAX_CHARACTERS, ToolFailure, cut, cut_resource, short_json
from richregime.mcp_server.tools import CONFIRM_ABOVE_SECONDS, TOOLS
from schemas.access import Scope
from storage.database.engine import Database
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.client.mcp_hostile_arguments import HUGE, MAX_ERROR, SMALL, refuse_hostile_arguments
from tests.client.mcp_reader import WORDS, Reader
from tests.client.mcp_sessions import Session, id_in, run

NAMES = [
    *("kinds", "models", "presets", "describe", "preview", "submit", "get", "wait", "result"),
    *("metrics", "comparison", "difference", "plot", "report", "cancel"),
]
READING = [name for name in NAMES if name not in ("submit", "cancel")]


@pytest.fixture(scope="module")
def keyed_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API of its own, which requires keys from the first one on."""
    settings = make_settings(tmp_path_factory.mktemp("keyed"))
    database = Database(settings.resolved_database_url)
    database.upgrade()
    database.dispose()
    with serve_api(settings) as server:
        make_key(server.db)
        time.sleep(1.1)  # the API looks for its first key once a second
        yield server


def url_of(server: ApiServer) -> str:
    return str(server.http.base_url)


def test_the_tools_tell_their_arguments_in_few_words(live_url: str) -> None:
    async def scenario(session: Session) -> None:
        tools = (await session.client.list_tools()).tools
        assert [tool.name for tool in tools] == NAMES
        for tool in tools:
            assert tool.description
            assert "{" not in tool.description
            properties = tool.input_schema["properties"]
            assert all(field.get("description") for field in properties.values()), tool.name
            assert tool.input_schema["additionalProperties"] is False
        assert sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools) < 14_000
        hints = {tool.name: tool.annotations for tool in tools}
        read_only = [name for name, hint in hints.items() if hint and hint.read_only_hint]
        assert read_only == READING
        (destructive,) = [name for name, hint in hints.items() if hint and hint.destructive_hint]
        assert destructive == "cancel"

    run(scenario, live_url)


def test_descriptions_lead_to_the_tools_that_reproduce_a_figure(live_url: str) -> None:
    """The slow test of the transcript follows them to the verdicts."""

    async def scenario(session: Session) -> None:
        found = await Reader(session).read_descriptions()
        assert {words: tool.name for words, tool in found.items()} == {name: name for name in WORDS}

    run(scenario, live_url)


@pytest.mark.xdist_group("whole_service")
def test_a_session_leads_from_the_kinds_to_verdicts_and_plots(service_url: str) -> None:
    async def scenario(session: Session) -> None:
        assert "reinit_sweep: " in await session.answer("kinds")
        assert '"vgg5"' in await session.answer("models")
        assert "layers.1: linear, 1,010 parameters, output 10" in await session.answer(
            "models", name="relu_net", fields={"width": 100}
        )
        assert "fig2 (quick, paper) reinit_sweep" in await session.answer("presets")
        assert "epochs: integer = 20 (>= 0, <= 10000)" in await session.answer(
            "describe", kind="train"
        )
        sgd = await session.answer("describe", kind="train", field="optimizer")
        assert 'optimizer {"name": "sgd"}' in sgd
        body = {"spec": SMALL, "sweep": {"model.width": [10, 20]}, "seeds": [0, 1, 2]}
        body["claims"] = [{"name": "learns", "quantity": "test_accuracy", "at_least": 0.0}]
        assert "2 points, 3 seeds" in await session.answer("preview", body=body)
        submitted = await session.answer("submit", body=body)
        experiment_id = id_in(submitted)
        waited = json.loads(await session.answer("wait", id=experiment_id, seconds=55))
        assert (waited["status"], waited["terminal"]) == ("succeeded", True)
        assert session.progress
        assert session.progress[-1][:2] == (100.0, 100.0)
        assert session.progress == sorted(session.progress, key=lambda one: one[0])
        assert json.loads(await session.answer("get", id=experiment_id)) == waited
        assert experiment_id in await session.answer("get")
        with RestClient(service_url) as client:
            table = client.result_text(experiment_id, "markdown")
            found = client.result(experiment_id)
            published = client.comparison(experiment_id)
            difference = client.difference(experiment_id, 1).difference["test_accuracy"].mean
        assert await session.answer("result", id=experiment_id) == table
        whole = json.loads(await session.answer("result", id=experiment_id, format="json"))
        assert len(whole["points"]) == len(found.points) == 2
        rows = (await session.answer("metrics", id=experiment_id, points=2)).splitlines()
        assert rows[0] == "point,name,step,mean,standard_error,ci95_low,ci95_high,n"
        assert any(row.startswith("1,test_accuracy,1,") for row in rows)
        judged = json.loads(await session.answer("comparison", id=experiment_id))
        shown = [(one["claim"], one["verdict"], one["sentence"]) for one in judged["verdicts"]]
        assert shown == [(one.claim, one.verdict, one.sentence) for one in published.verdicts]
        own = [(one["name"], one["verdict"], one["n"]) for one in judged["own_verdicts"]]
        assert own == [("learns", "reproduced", 3)]
        one = json.loads(await session.answer("difference", id=experiment_id, point=1))
        mean = one["difference"]["test_accuracy"]["mean"]
        assert mean == pytest.approx(difference, rel=1e-5), "six digits are shown"
        plots = await session.answer("plot", id=experiment_id)
        assert "learning_curve: " in plots
        assert "does not apply: sweep_map: " in plots, "one field is swept"
        (sweep,) = [line for line in plots.splitlines() if line.startswith("sweep_quantity: ")]
        assert "quantity: test_accuracy" in sweep
        drawn = await session.answer(
            "plot", id=experiment_id, name="sweep_quantity", quantity="train_loss"
        )
        assert base64.b64decode(drawn).startswith(b"\x89PNG")
        unknown = await session.refusal(
            "plot", id=experiment_id, name="sweep_quantity", quantity="nothing"
        )
        assert "train_loss" in unknown
        image = await session.answer("plot", id=experiment_id, name="learning_curve")
        assert base64.b64decode(image).startswith(b"\x89PNG")
        report = await session.answer("report", id=experiment_id)
        with RestClient(service_url) as client:
            written = client.report(experiment_id, report_format="md").decode()
        assert "base64" in written, "the file holds its figures"
        assert "base64" not in report
        kept = re.sub(r"\(data:[^)]*\)", " (`plot` draws it)", written)
        address = f"{service_url}/experiments/{experiment_id}/report.md"
        assert report == cut(kept, 0, "report", address)
        page = await session.client.read_resource(
            f"richregime://experiments/{experiment_id}/result"
        )
        assert getattr(page.contents[0], "text", None) == table
        listed = (await session.client.list_resources()).resources
        uris = {resource.uri for resource in listed}
        assert {
            "richregime://guide/glossary",
            f"richregime://experiments/{experiment_id}/result",
        } <= uris

    run(scenario, service_url)


def test_the_price_guard_and_repeated_submissions(live_url: str) -> None:
    async def scenario(session: Session) -> None:
        body = {"spec": {**SMALL, "epochs": 17}, "seeds": [3]}
        assert "refuses above 0 s without confirm" in await session.answer("preview", body=body)
        refusal = await session.refusal("submit", body=body)
        assert refusal.startswith("/confirm: not submitted: it would take ")
        assert "more than 0 s" in refusal
        first = id_in(await session.answer("submit", body=body, confirm=True))
        again = await session.answer("submit", body=body)
        assert again.startswith(f"An identical experiment exists: {first}"), "costs nothing"
        fresh = {**body, "reuse": False}
        ids = [
            id_in(await session.answer("submit", body=fresh, confirm=True, **more))
            for more in ({}, {}, {"idempotency_key": "another"}, {"idempotency_key": "another"})
        ]
        assert ids[0] == ids[1] != ids[2] == ids[3]
        assert first not in ids
        cancelled = json.loads(await session.answer("cancel", id=ids[0]))
        assert cancelled["status"] == "cancelled"
        told = await session.answer("submit", body=fresh, confirm=True)
        assert "another idempotency_key submits it again" in told

    run(scenario, live_url, "--confirm-above", "0")
    assert OPTION_DEFAULT == CONFIRM_ABOVE_SECONDS


def test_a_wait_is_bounded(live_url: str) -> None:
    async def scenario(session: Session) -> None:
        submitted = await session.answer("submit", body={"spec": {**SMALL, "epochs": 23}})
        began = time.monotonic()
        text = await session.answer("wait", id=id_in(submitted), seconds=0.5)
        assert 0.5 <= time.monotonic() - began < 10
        assert text.endswith("It goes on: it did not end within 0.5 s. Call wait again.")
        assert len(session.progress) >= 2

    run(scenario, live_url)


def test_what_a_key_may_not_do_is_not_offered(keyed_api: ApiServer) -> None:
    async def names(session: Session) -> list[str]:
        return await session.tool_names()

    url = url_of(keyed_api)

    def offered(*scopes: Scope) -> list[str]:
        return run(names, url, key=make_key(keyed_api.db, *scopes))

    assert offered(Scope.ADMIN) == NAMES
    assert offered(Scope.READ) == READING
    assert offered(Scope.READ, Scope.SUBMIT) == [*NAMES[:-1]]
    assert offered(Scope.READ, Scope.CANCEL) == [name for name in NAMES if name != "submit"]


def test_a_key_that_may_not_read_is_told_what_it_lacks(keyed_api: ApiServer) -> None:
    async def refusal(session: Session) -> str:
        with pytest.raises(MCPError) as refused:
            await session.tool_names()
        return str(refused.value)

    url = url_of(keyed_api)
    assert "this needs read" in run(refusal, url, key=make_key(keyed_api.db, Scope.CANCEL))
    assert "RICHREGIME_KEY" in run(refusal, url, key="rrk_of_nobody")


def test_a_call_beyond_the_key_is_refused_by_the_service(keyed_api: ApiServer) -> None:
    """A client may call what it was not offered."""

    async def scenario(session: Session) -> None:
        text = await session.refusal("submit", body={"spec": SMALL})
        assert text.startswith("forbidden (403): ")
        assert "this needs submit" in text

    run(scenario, url_of(keyed_api), key=make_key(keyed_api.db, Scope.READ))


def test_hostile_arguments_get_short_errors_with_pointers(live_url: str) -> None:
    run(refuse_hostile_arguments, live_url)


def test_a_number_that_json_lacks_is_named_by_its_pointer(live_url: str) -> None:
    """The official client cannot send one, so the messages are written by hand."""
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    messages = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        *(
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "tools/call",
                    "params": {
                        "name": tool,
                        "arguments": {"body": {"spec": {**SMALL, "optimizer": {"lr": value}}}},
                    },
                }
            )
            for number, (tool, value) in enumerate(
                [("preview", math.nan), ("submit", math.inf), ("preview", -math.inf)], 2
            )
        ),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "richregime", "mcp", "--url", live_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(f"{message}\n" for message in messages))
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(4)]
        server.stdin.close()
    assert server.returncode == 0
    for answer in answers[1:]:
        assert answer["result"]["isError"] is True
        text = answer["result"]["content"][0]["text"]
        assert text.startswith("/body/spec/optimizer/lr: not a finite number"), text


@asynccontextmanager
async def in_process(url: str) -> AsyncIterator[Session]:
    """A session with a server in this process, for tests that change it."""

    @asynccontextmanager
    async def open_client(_: object) -> AsyncIterator[AsyncClient]:
        async with AsyncClient(url) as client:
            yield client

    async with McpClient(make_server(open_client)) as client:
        yield Session(client)


def test_a_long_answer_is_cut_and_its_end_leads_to_the_rest(
    live_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_whole() -> str:
        async with in_process(live_url) as session:
            return await session.answer("presets")

    async def read_parts() -> str:
        parts, offset = [], 0
        async with in_process(live_url) as session:
            while True:
                text = await session.answer("presets", offset=offset)
                shown, _, end = text.partition("\n[cut: ")
                assert len(shown) <= 700
                parts.append(shown)
                if not end:
                    return "".join(parts)
                assert f"or GET {live_url}/presets]" in end
                offset = int(end.partition("offset=")[2].partition(",")[0])

    whole = asyncio.run(read_whole())
    monkeypatch.setattr(texts, "MAX_CHARACTERS", 700)
    assert asyncio.run(read_parts()) == whole
    assert len(whole) > 3 * 700


def test_cuts_are_at_line_ends_where_there_are_some() -> None:
    lines = "".join(f"line {number}\n" for number in range(4_000))
    shown = cut(lines, 0, "tool", None)
    assert len(shown) < MAX_CHARACTERS + 200
    assert shown.rpartition("\n\n[cut: ")[0].rpartition("\n")[2].startswith("line ")
    assert cut("x" * (MAX_CHARACTERS + 5), MAX_CHARACTERS, "tool", None) == "x" * 5
    assert cut("", 0, "tool", None) == ""
    with pytest.raises(ToolFailure, match="/offset: 3 is beyond"):
        cut("abc", 3, "tool", None)


def test_a_long_resource_is_cut_with_the_address_of_the_whole() -> None:
    text = cut_resource("x" * 50_000, "http://host/guide/page.md")
    assert text.startswith("x" * 40_000 + "\n[cut: 40000 of 50000 characters; ")
    assert text.endswith("GET http://host/guide/page.md returns all]")
    assert cut_resource("x" * 40_000, "http://host") == "x" * 40_000


def test_json_is_short_and_can_be_read() -> None:
    value: dict[str, Any] = {
        "mean": 0.12345678901,
        "none": None,
        "nothing": {},
        "zero": 0,
        "no": False,
        "many": [*range(200)],
        "items": [{"name": "a" * 60, "n": 1}, {"name": "b" * 60, "n": 2}],
    }
    text = short_json(value)
    kept = {name: inner for name, inner in value.items() if name not in ("none", "nothing")}
    assert json.loads(text) == {**kept, "mean": 0.123457}
    assert len(text.splitlines()) == 10


def test_resources_are_pages_and_results(live_url: str) -> None:
    async def scenario(session: Session) -> None:
        listed = (await session.client.list_resources()).resources
        pages = {one.uri.removeprefix("richregime://guide/"): one.title for one in listed}
        assert pages["glossary"] == "Glossary"
        assert pages["kinds/train"] == "Training"
        templates = (await session.client.list_resource_templates()).resource_templates
        assert len(templates) == 3
        page = await session.client.read_resource("richregime://guide/kinds/train")
        with RestClient(live_url) as client:
            assert getattr(page.contents[0], "text", None) == client.guide("kinds/train")
        for uri in (
            "richregime://guide/nothing",
            "richregime://guide/../../etc/passwd",
            "richregime://guide/a/b/c",
            "richregime://experiments/exp_none/result",
            "richregime://experiments/../limits/result",
            "gopher://etc/passwd",
            f"richregime://guide/{HUGE}",
        ):
            with pytest.raises(MCPError) as refused:
                await session.client.read_resource(uri)
            assert len(str(refused.value)) < MAX_ERROR
            assert "root:" not in str(refused.value)

    run(scenario, live_url)


def test_without_a_service_the_tools_are_listed_and_each_call_tells_it() -> None:
    async def scenario(session: Session) -> None:
        assert await session.tool_names() == NAMES
        text = await session.refusal("kinds")
        assert text.startswith("no response from http://127.0.0.1:")

    run(scenario, f"http://127.0.0.1:{free_port('127.0.0.1')}")


def test_a_missing_package_is_named_with_its_extra() -> None:
    script = (
        "import sys; sys.modules['mcp'] = None\n"
        "from richregime.cli import main\n"
        "sys.argv = ['richregime', 'mcp']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "mcp is not installed: pip install 'richregime[mcp]'\n"
    assert done.stdout == ""


def test_an_address_that_cannot_be_one_ends_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "richregime", "mcp", "--url", "ftp://x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not the address of a service" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_tool_has_a_name_of_its_own() -> None:
    assert [tool.name for tool in TOOLS] == NAMES


def test_the_clients_read_the_guide(live_url: str) -> None:
    async def read() -> tuple[str, str]:
        async with AsyncClient(live_url) as client:
            return await client.guide(), await client.guide("glossary")

    with RestClient(live_url) as client:
        assert (client.guide(), client.guide("glossary")) == asyncio.run(read())
        assert client.guide("glossary").startswith("# Glossary")
        assert client.guide("kinds/train").startswith("# ")
        assert "](/guide/glossary.md)" in client.guide()
        with pytest.raises(ProblemError, match="no page 'nothing'"):
            client.guide("nothing")
        with pytest.raises(InvalidArgument):
            client.guide("../limits")


def test_a_large_response_is_parsed_beside_the_event_loop(
    live_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of many assistants answers the others meanwhile."""
    threads: list[bool] = []
    read = calls.Call.read

    def noting(call: calls.Call[Any], response: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(call, response)

    monkeypatch.setattr(calls.Call, "read", noting)

    async def ask() -> None:
        async with AsyncClient(live_url) as client:
            await client.guide("glossary")
            monkeypatch.setattr(async_client, "LARGE_RESPONSE_BYTES", 100)
            await client.guide("glossary")

    asyncio.run(ask())
    assert threads == [True, False]
