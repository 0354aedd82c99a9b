"""export, report, import, delete: what leaves a service, enters it, or is removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast, get_args

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
from richregime.text_formats import ReportFormat

app = typer.Typer()


SHOWN_BY = {
    "tensorboard": "tensorboard --logdir {folder}",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db",
    "trackio": "TRACKIO_DIR={folder} trackio show --project richregime",
    "wandb-offline": "wandb sync {folder}/wandb/offline-run-*",
}
"""What shows the files of an experiment tracker"""


@app.command()
def export(
    experiment_id: str,
    export_format: Annotated[
        Literal["bundle", "csv", "parquet", "tensorboard", "mlflow", "trackio", "wandb-offline"],
        typer.Option(
            "--format",
            help="A zip file of everything, tables, or files of an experiment tracker.",
        ),
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
    elif export_format in SHOWN_BY:
        print(folder)
        print_hint(SHOWN_BY[export_format].format(folder=folder))
    else:
        print(*written, sep="\n")
        if len(written) == 1:
            print_hint(f"there is no result yet: `{PROGRAM} watch ID` waits for it")


@app.command()
def report(
    experiment_ids: Annotated[list[str], typer.Argument(help="At most 8.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file; its ending, .pdf, .html or .md, is the format. By default "
            "ID-report.pdf.",
            callback=expand_user,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write one file on experiments: question, answer, verdicts, figures, tables, how to repeat."""
    path = out or Path(f"{experiment_ids[0]}-report.pdf")
    ending = path.suffix.removeprefix(".")
    formats = get_args(ReportFormat)
    if ending not in formats:
        raise typer.BadParameter(f"{path} must end in {', '.join(f'.{one}' for one in formats)}")
    with open_client(url) as client:
        data = client.report(*experiment_ids, report_format=cast(ReportFormat, ending))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if as_json:
        print_json({"path": str(path), "bytes": len(data)})
    else:
        print(path)


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
