"""export, import, delete: an experiment leaves, comes, or goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from richregime.commands.shared import PROGRAM, AsJson, Url, print_json, say, talking_to

app = typer.Typer()


@app.command()
def export(
    experiment_id: str,
    export_format: Annotated[
        Literal["bundle", "csv", "parquet", "tensorboard"],
        typer.Option("--format", help="A zip of everything, tables, or event files."),
    ] = "bundle",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File of the bundle, folder of the others; ID.zip, ID-FORMAT by default."
        ),
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="All checkpoints too, in a bundle; they may be large.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """An experiment for another service (bundle), or its metrics and results for other tools."""
    if export_format == "bundle":
        _export_bundle(experiment_id, out or Path(f"{experiment_id}.zip"), files, as_json, url)
        return
    if files:
        raise typer.BadParameter("--files goes with --format bundle")
    folder = out or Path(f"{experiment_id}-{export_format}")
    if folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"{folder} is a file; --format {export_format} writes a folder")
    with talking_to(url) as client:
        written = client.export_tables(experiment_id, folder, table_format=export_format)
    if as_json:
        print_json({"path": str(folder), "files": [str(path) for path in written]})
    elif export_format == "tensorboard":
        print(folder)
        say(f"tensorboard --logdir {folder}")
    else:
        print(*written, sep="\n")
        if len(written) == 1:
            say(f"there is no result yet: `{PROGRAM} watch ID` waits for it")


def _export_bundle(
    experiment_id: str, path: Path, files: bool, as_json: bool, url: str | None
) -> None:
    with talking_to(url) as client:
        data = client.export(experiment_id, files=files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if as_json:
        print_json({"path": str(path), "bytes": len(data)})
    else:
        print(path)
        say(f"{PROGRAM} import {path} --url ANOTHER   or unpack it and run `sh rerun.sh`")


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
        print(
            f"{told.id}: {told.runs} runs, {told.bytes:,} bytes {'would be ' if dry_run else ''}deleted"
        )
