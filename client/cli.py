"""The command line's client part, gathered from `client.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from client.commands import moving, offering, reading, submitting
from client.commands.shared import given_key
from client.connecting import KEY_VARIABLE

app = typer.Typer(no_args_is_help=True)
for group in (submitting.app, reading.app, moving.app, offering.app):
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
