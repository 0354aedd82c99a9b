"""mcp: lets programs such as AI assistants use the service by the Model Context Protocol."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from richregime.commands.shared import ExitCode, Url, given_key
from richregime.errors import ClientError, ExtraMissing

app = typer.Typer()
CONFIRM_ABOVE_SECONDS = 600.0
"""As of `richregime.mcp_server.tools`, which is imported only when the command runs"""


@app.command()
def mcp(
    confirm_above: Annotated[
        float,
        typer.Option(
            min=0,
            help="Device seconds above which the tool `submit` needs the consent of the user.",
        ),
    ] = CONFIRM_ABOVE_SECONDS,
    url: Url = None,
) -> None:
    """Serve the Model Context Protocol over standard input and output; AI assistants start it.

    Needs the extra `mcp`: pip install 'richregime[mcp]'.
    """
    try:
        try:
            from richregime.mcp_server.server import serve_stdio
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
                raise
            raise ExtraMissing("mcp", "mcp") from None
        serve_stdio(url, given_key.get(), confirm_above)
    except ClientError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(ExitCode.USAGE) from None
