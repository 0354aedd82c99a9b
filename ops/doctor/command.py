"""The command: findings as words or JSON, the worst as the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ops.doctor.findings import Finding, Level, worst
from richregime.commands.shared import AsJson, given_key, print_json

LOOKS = {
    Level.OK: "[green]ok     [/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.WRONG: "[red]wrong  [/]",
}


def doctor(
    url: Annotated[
        str | None,
        typer.Argument(
            help="Address of a service; without one this host's own deployment is looked at."
        ),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Folder of the service; ~/.richregime by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a deployment and say what is wrong with it and what to do. Exit code 0: all is well; 1: warnings; 2: wrong."""
    findings = list(_examine(url, home))
    if as_json:
        print_json(
            [{**finding.model_dump(), "level": finding.level.name.lower()} for finding in findings]
        )
    else:
        _show(findings)
    raise typer.Exit(worst(findings))


def _examine(url: str | None, home: Path | None) -> Iterable[Finding]:
    if url is not None:
        from ops.doctor import service

        return service.examine(url.rstrip("/"), given_key.get())
    from ops.doctor import deployment
    from runtime.settings import Settings

    return deployment.examine(Settings(home=home) if home is not None else Settings())


def _show(findings: Iterable[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(f"{LOOKS[finding.level]}  {finding.about:10} {escape(finding.found)}")
        if finding.todo is not None:
            console.print(f"{'':20} → {escape(finding.todo)}")
