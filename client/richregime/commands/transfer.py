"""export, import, delete: move experiments between services, and remove them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from richregime.commands.shared import (
    PROGRAM,
    AsJson,
    Url,
    expand_user,
    open_client,
    print_hint,
    print_json,
)

app = typer.Typer()


@app.command()
def export(
    experiment_id: str,
    export_format: Annotated[
        Literal["bundle", "csv", "parquet", "tensorboard"],
        typer.Option("--format", help="A zip file of everything, tables, or event files."),
    ] = "bundle",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file of a bundle (ID.zip by default), or a folder (ID-FORMAT by default).",
            callback=expand_user,
        ),
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="Add all checkpoints to a bundle; they can be large.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Export an experiment: for another service (bundle), or as tables for other tools."""
    if export_format == "bundle":
        _export_bundle(experiment_id, out or Path(f"{experiment_id}.zip"), files, as_json, url)
        return
    if files:
        raise typer.BadParameter("--files needs --format bundle")
    folder = out or Path(f"{experiment_id}-{export_format}")
    if folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"{folder} is a file; --format {export_format} writes a folder")
    with open_client(url) as client:
        written = client.export_tables(experiment_id, folder, table_format=export_format)
    if as_json:
        print_json({"path": str(folder), "files": [str(path) for path in written]})
    elif export_format == "tensorboard":
        print(folder)
        print_hint(f"tensorboard --logdir {folder}")
    else:
        print(*written, sep="\n")
        if len(written) == 1:
            print_hint(f"there is no result yet: `{PROGRAM} watch ID` waits for it")


def _export_bundle(
    experiment_id: str, path: Path, files: bool, as_json: bool, url: str | None
) -> None:
    with open_client(url) as client:
        data = client.export(experiment_id, files=files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if as_json:
        print_json({"path": str(path), "bytes": len(data)})
    else:
        print(path)
        print_hint(f"{PROGRAM} import {path} --url ANOTHER   or unpack it and run `sh rerun.sh`")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(callback=expand_user)],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Import the bundle of another service. The experiment is read-only."""
    if not file.is_file():
        raise typer.BadParameter(f"the file {file} does not exist")
    with open_client(url) as client:
        experiment = client.import_experiment(file)
        address = f"{client.url}/view/{experiment.id}"
    if as_json:
        print_json(experiment)
    else:
        print(experiment.id)
        print_hint(f"see {address}")


@app.command()
def delete(
    experiment_id: str,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the number of bytes.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete an experiment that has ended, with its files."""
    with open_client(url) as client:
        deletion = client.delete(experiment_id, dry_run=dry_run)
    if as_json:
        print_json(deletion)
    else:
        would = "would be " if dry_run else ""
        print(f"{deletion.id}: {deletion.runs} runs, {deletion.bytes:,} bytes {would}deleted")
