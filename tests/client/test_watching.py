"""`client.watch`: redrawn in place in a notebook, lines in a shell, and a limit of time."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from richregime import AsyncClient, Client, WaitTimeout
from richregime.watching import Shown, notebook_display

BODY: dict[str, Any] = {"spec": {"kind": "train"}, "reuse": False}


class Display:
    """What IPython would show: one output for each call, and how often it was replaced."""

    def __init__(self) -> None:
        self.outputs: list[list[str]] = []

    def __call__(self, shown: Shown, *, display_id: bool) -> Any:
        assert display_id
        output = [shown._repr_html_()]
        self.outputs.append(output)
        return SimpleNamespace(update=lambda one: output.append(one._repr_html_()))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    """Modules of IPython, in a kernel."""
    display, ipython, inner = Display(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return display


def cancel_soon(client: Client, experiment_id: str) -> None:
    threading.Timer(0.5, lambda: client.cancel(experiment_id)).start()


def test_a_notebook_has_one_output_that_is_redrawn(
    live_url: str, notebook: Display, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(live_url) as client:
        made = client.submit({**BODY, "name": "<b>mine"})
        cancel_soon(client, made.id)
        ended = client.watch(made.id)
    assert ended.status == "cancelled"
    (output,) = notebook.outputs
    assert len(output) >= 2
    assert "queued 0 %, 0/1 runs" in output[0]
    assert "&lt;b&gt;mine" in output[0], "text is escaped"
    assert "cancelled 100 %, 1/1 runs" in output[-1]
    assert capsys.readouterr().out == ""


def test_a_shell_gets_a_line_for_each_change(
    live_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def watch(experiment_id: str) -> str:
        async with AsyncClient(live_url) as client:
            return str((await client.watch(experiment_id)).status)

    with Client(live_url) as client:
        for wait in (client.watch, lambda one: asyncio.run(watch(one))):
            made = client.submit(BODY)
            cancel_soon(client, made.id)
            wait(made.id)
            first, last = capsys.readouterr().out.splitlines()
            assert first.startswith("queued 0 %, 0/1 runs; waiting: ")
            assert last == "cancelled 100 %, 1/1 runs"


def test_a_watch_ends_with_its_time(live_url: str) -> None:
    with Client(live_url) as client:
        made = client.submit(BODY)
        with pytest.raises(WaitTimeout, match=r"did not end within 0.5 s; it continues"):
            client.watch(made.id, timeout=0.5)


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_display() is None
    terminal = ModuleType("IPython")
    terminal.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert notebook_display() is None
