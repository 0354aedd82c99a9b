"""The command line: the client's commands, and those of the service where it is installed."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from richregime.commands import actions, agents, catalog, inspect, submit, transfer, workers
from richregime.commands.shared import given_key
from richregime.connection import KEY_VARIABLE
from richregime.terminal import replace_unknown_characters

COMMANDS_GROUP = "richregime.commands"
"""The entry-point group of further commands: functions that add them to the application.

Their modules are imported by every command, so they must import fast.
"""

app = typer.Typer(no_args_is_help=True)
for group in (
    submit.app,
    actions.app,
    inspect.app,
    transfer.app,
    catalog.app,
    workers.app,
    agents.app,
):
    app.add_typer(group)
for entry in entry_points(group=COMMANDS_GROUP):
    entry.load()(app)


@app.callback()
def keep_key(
    key: Annotated[
        str | None,
        typer.Option(
            help="The API key, if the service needs one. "
            f"Better set {KEY_VARIABLE}, which process lists do not show."
        ),
    ] = None,
) -> None:
    """Experiments with rich-regime training: submit them, follow them, read the results."""
    given_key.set(key)


def main() -> None:
    """Entry point of the console script."""
    replace_unknown_characters()
    try:
        app(prog_name="richregime")
    except OSError as error:  # a folder that cannot be written to, a full disk
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
