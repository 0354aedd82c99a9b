"""export, import, delete: an experiment leaves, comes, or goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.commands.shared import AsJson, Url, print_json, say, talking_to

app = typer.Typer()


@app.command()
def export(
    experiment_id: str,
    out: Annotated[Path | None, typer.Option(help="File to write; ID.zip by default.")] = None,
    files: Annotated[bool, typer.Option("--files", help="All checkpoints too; they may be large.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Everything of an experiment as a zip that another service can import, with a script that runs it again."""
    path = out or Path(f"{experiment_id}.zip")
    with talking_to(url) as client:
        data = client.export(experiment_id, files=files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if as_json:
        print_json({"path": str(path), "bytes": len(data)})
    else:
        print(path)
        say(f"richregime import {path} --url ANOTHER   or unpack it and run `sh rerun.sh`")


@app.command(name="import")
def import_(file: Path, as_json: AsJson = False, url: Url = None) -> None:
    """Take in an export of another service: shown and drawn as it was there, read-only."""
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    with talking_to(url) as client:
        experiment = client.import_experiment(file)
        address = f"{client.url}/view/{experiment.id}"
    if as_json:
        print_json(experiment)
    else:
        print(experiment.id)
        say(f"look at {address}")


@app.command()
def delete(
    experiment_id: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell the bytes.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete an experiment that has ended, with its files."""
    with talking_to(url) as client:
        told = client.delete(experiment_id, dry_run=dry_run)
    if as_json:
        print_json(told)
    else:
        print(f"{told.id}: {told.runs} runs, {told.bytes:,} bytes {'would be ' if dry_run else ''}deleted")
