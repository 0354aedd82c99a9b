"""The command `richregime doctor`: prints the findings and returns the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ops.doctor.findings import Finding, Level, worst_level
from richregime.commands.shared import given_key, print_json

LEVEL_TEXTS = {
    Level.OK: "[green]ok     [/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.ERROR: "[red]error  [/]",
}


def report(url: str | None, home: Path | None, as_json: bool) -> int:
    """Check the service at `url`, else this host; print the findings, return the worst level."""
    findings = list(_examine(url, home))
    if as_json:
        print_json(
            [{**finding.model_dump(), "level": finding.level.name.lower()} for finding in findings]
        )
    else:
        _print(findings)
    return int(worst_level(findings))


def _examine(url: str | None, home: Path | None) -> Iterable[Finding]:
    if url is not None:
        from ops.doctor import service

        return service.examine(url.rstrip("/"), given_key.get())
    from ops.doctor import deployment
    from runtime.settings import read_settings

    return deployment.examine(read_settings(home))


def _print(findings: Iterable[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        text = escape(finding.message)
        console.print(f"{LEVEL_TEXTS[finding.level]}  {finding.subject:10} {text}")
        if finding.action is not None:
            console.print(f"{'':20} → {escape(finding.action)}")
