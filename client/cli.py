"""The command line's client part, gathered from `client.commands`."""

from __future__ import annotations

import typer

from client.commands import moving, offering, reading, submitting

app = typer.Typer(no_args_is_help=True)
for group in (submitting.app, reading.app, moving.app, offering.app):
    app.add_typer(group)
