"""The reference of the command line, from the tree of its commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument

from richregime.cli import app
from richregime.commands.shared import ExitCode

HEAD = """# Command line

The client installs the command `richregime`. Where the service is installed, the same command also
starts and administers it. In a checkout write `./run` instead of `richregime`.

Results go to standard output, everything else to standard error. `--json` prints JSON instead of
tables. The service's address is `--url` or `RICHREGIME_URL`; the API key is
`richregime --key KEY ...` or `RICHREGIME_KEY`. `richregime --install-completion` sets up completion
in your shell.

This page is generated from the commands by `python -m ops.documents`. `richregime COMMAND --help`
prints the same.

## Exit codes

"""
EXIT_CODES = {
    ExitCode.SUCCEEDED: "succeeded",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "wrong usage",
    ExitCode.CANCELLED: "the experiment was cancelled",
    ExitCode.REFUSED: "the service returned an error",
    ExitCode.UNREACHABLE: "the service did not respond",
    ExitCode.TIMED_OUT: "waiting took too long; the experiment continues",
    ExitCode.UNDECIDED: "`check`: a claim is not decided, or verdicts may still change",
}


def command_line_markdown() -> str:
    """Every command with its arguments and options."""
    codes = [f"| {int(code)} | {EXIT_CODES[code]} |" for code in ExitCode]
    parts = [HEAD + "| code | meaning |\n|---:|---|\n" + "\n".join(codes)]
    root = typer.main.get_command(app)
    parts += [_describe(path, command) for path, command in _walk(root, "richregime")]
    return "\n\n".join(parts) + "\n"


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The path and the command of each leaf, in the order of the help."""
    for name, child in getattr(command, "commands", {}).items():
        if child.hidden:
            continue
        if hasattr(child, "commands"):
            yield from _walk(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


def _describe(path: str, command: Any) -> str:
    parameters = [one for one in command.params if not one.hidden]
    arguments = [one for one in parameters if isinstance(one, TyperArgument)]
    usage = [path, *(_argument_name(one) for one in arguments)]
    usage += ["[OPTIONS]"] if len(arguments) < len(parameters) else []
    text = textwrap.fill(" ".join((command.help or "").split()), 100, break_on_hyphens=False)
    lines = [f"## `{path}`", "", text, "", "```text", " ".join(usage), "```"]
    if parameters:
        lines += ["", "| argument or option | meaning |", "|---|---|"]
        lines += [f"| {_names(one)} | {_meaning(one)} |" for one in parameters]
    return "\n".join(lines)


def _argument_name(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return f"`{_argument_name(parameter)}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _meaning(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    default = parameter.default
    if default is None or default is False or default == [] or callable(default):
        return text
    if isinstance(default, Path) and default.is_relative_to(Path.home()):
        default = f"~/{default.relative_to(Path.home()).as_posix()}"
    shown = default.value if isinstance(default, Enum) else default
    return f"{text} Default: `{shown}`."
