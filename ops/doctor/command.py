"""The command `richregime doctor`: prints the findings and returns the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ops.doctor.findings import Finding, Level, worst
from richregime.commands.shared import given_key, print_json

LOOKS = {
    Level.OK: "[green]ok     [/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.WRONG: "[red]wrong  [/]",
}


def report(url: str | None, home: Path | None, as_json: bool) -> int:
    """Check a service at `url`, or this host; print the findings and return the worst level."""
    findings = list(_examine(url, home))
    if as_json:
        print_json(
            [{**finding.model_dump(), "level": finding.level.name.lower()} for finding in findings]
        )
    else:
        _show(findings)
    return int(worst(findings))


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
