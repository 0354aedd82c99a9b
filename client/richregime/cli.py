"""The command line's client part, gathered from `richregime.commands`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Annotated

import typer

from richregime.commands import catalog, inspect, submit, transfer
from richregime.commands.shared import given_key
from richregime.connection import KEY_VARIABLE

app = typer.Typer(no_args_is_help=True)
for group in (submit.app, inspect.app, transfer.app, catalog.app):
    app.add_typer(group)


@app.callback()
def keep_key(
    key: Annotated[
        str | None,
        typer.Option(
            help=f"API key, where the service asks for one; better in {KEY_VARIABLE}, which no process list shows."
        ),
    ] = None,
) -> None:
    """Experiments with rich-regime training: submit, follow, read."""
    given_key.set(key)


@cache
def load_commands() -> typer.Typer:
    """The client's commands, and those of a service where one is installed."""
    for entry in entry_points(group="richregime.commands"):
        entry.load()(app)
    return app


def main() -> None:
    """Entry point of the console script."""
    load_commands()(prog_name="richregime")
