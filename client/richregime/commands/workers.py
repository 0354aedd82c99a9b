"""workers, cordon, drain, uncordon: the processes that execute runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from richregime.commands.catalog import print_table
from richregime.commands.shared import AsJson, Url, open_client, print_json

if TYPE_CHECKING:
    from richregime.types import Worker

app = typer.Typer()
DRAIN_POLL_SECONDS = 1.0
WorkerName = Annotated[
    str,
    typer.Argument(
        help="The id of a worker; or a host, then also for workers that start there later."
    ),
]


@app.command()
def workers(as_json: AsJson = False, url: Url = None) -> None:
    """List the workers and their devices."""
    with open_client(url) as client:
        found = [*client.workers()]
    if as_json:
        print_json(found)
        return
    _print_workers(found)


def _print_workers(found: Sequence[Worker]) -> None:
    rows = [
        (
            one.id,
            one.host,
            one.device,
            one.device_class,
            f"{len(one.runs)}/{one.slots}",
            _state_of(one),
        )
        for one in found
    ]
    print_table(("id", "host", "device", "class", "busy", "state"), rows)


def _state_of(worker: Worker) -> str:
    if worker.cordon is not None:
        return "cordoned" if not worker.runs else "cordoned, busy"
    return "listening" if worker.listening else ("gone" if worker.slots else "not ready")


@app.command()
def cordon(name: WorkerName, as_json: AsJson = False, url: Url = None) -> None:
    """Let a worker finish what it runs and take no more."""
    with open_client(url) as client:
        found = client.cordon(name)
    print_json(found) if as_json else _print_workers(found)


@app.command()
def drain(
    name: WorkerName,
    hand_back: Annotated[
        bool,
        typer.Option(
            "--hand-back", help="Save what runs there and queue it again, for other workers."
        ),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Cordon a worker, and wait until it runs nothing."""
    with open_client(url) as client:
        found = client.cordon(name, hand_back=hand_back)
        while any(one.runs for one in found):
            time.sleep(DRAIN_POLL_SECONDS)
            found = [one for one in client.workers() if name in (one.id, one.host)]
    print_json(found) if as_json else _print_workers(found)


@app.command()
def uncordon(name: WorkerName, as_json: AsJson = False, url: Url = None) -> None:
    """Let a cordoned worker take runs again."""
    with open_client(url) as client:
        found = client.uncordon(name)
    print_json(found) if as_json else _print_workers(found)
