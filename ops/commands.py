"""The commands of the service: start it, administer it, check it.

The client's command line imports this module where the service is installed. Each command imports
what it needs when it is called, so that `richregime --help` starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ops.failures import failing_in_one_line
from ops.keys import app as keys
from richregime.commands.shared import AsJson, expand_user

HOME_HELP = "Home folder: database, files and data sets; ~/.richregime by default."
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="Administer the database.")
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")


def add_commands(program: typer.Typer) -> None:
    """Add the commands of the service to the client's; the entry point of `richregime.commands`."""
    program.add_typer(app)


@app.command()
def up(
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    plugins: Annotated[
        Path | None, typer.Option(help="Folder of plug-ins; `plugins` of the home by default.")
    ] = None,
    mcp: Annotated[
        bool,
        typer.Option("--mcp", help="Serve the Model Context Protocol for AI assistants at /mcp."),
    ] = False,
) -> None:
    """Start the service on this machine: broker, database, API and workers. Ctrl-C stops it."""
    from ops.up import up as start_everything
    from runtime.settings import settings_of_command

    settings = settings_of_command(home, host=host, port=port, plugins_dir=plugins, mcp=mcp or None)
    raise typer.Exit(start_everything(settings))


@app.command(context_settings=PASS_ON, add_help_option=False)
def api(context: typer.Context) -> None:
    """Start only the API, with the options of `python -m api.app`."""
    from runtime.settings import read_settings

    become("ops.api_with_mcp" if read_settings().mcp else "api.app", context.args)


@app.command(context_settings=PASS_ON, add_help_option=False)
def worker(context: typer.Context) -> None:
    """Start only a worker, with the options of `python -m workers.entry`."""
    become("workers.entry", context.args)


@db.command()
def upgrade(home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None) -> None:
    """Upgrade the database to the schema of this version."""
    from runtime.settings import settings_of_command
    from storage.database.engine import Database

    settings = settings_of_command(home, needs_home=False)
    with failing_in_one_line():
        database = Database(settings.resolved_database_url)
        try:
            database.upgrade()
        finally:
            database.dispose()
    print("the database has the schema of this version")


@db.command()
def copy(
    to: Annotated[
        str, typer.Option(help="URL of an empty database: postgresql://... or sqlite:///FILE.")
    ],
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
) -> None:
    """Copy the database to another one, such as from SQLite to Postgres. Stop the service first."""
    from runtime.settings import settings_of_command
    from storage.database.copy import copy_database
    from storage.database.engine import Database

    settings = settings_of_command(home, needs_home=False)
    wanted = settings_of_command(database_url=to, needs_home=False)
    with failing_in_one_line():
        source = Database(settings.resolved_database_url)
        target = Database(wanted.resolved_database_url)
        try:
            counts = copy_database(source, target)
        finally:
            source.dispose()
            target.dispose()
    print(f"{counts['experiment']:,} experiments, {sum(counts.values()):,} rows were copied")


@app.command()
def backup(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the backup; made if missing.", callback=expand_user)
    ],
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
) -> None:
    """Copy the database and all stored files to a folder, also while the service runs.

    A later backup to the same folder copies only new files.
    """
    from ops.backup import back_up
    from runtime.settings import settings_of_command

    settings = settings_of_command(home, needs_home=False)
    with failing_in_one_line():
        counts = back_up(settings, folder)
    print(f"backed up: {describe(counts)}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of a backup.", callback=expand_user)],
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
) -> None:
    """Copy a backup into an empty home, or into the empty database that the settings name."""
    from ops.backup import restore as restore_backup
    from runtime.settings import settings_of_command

    settings = settings_of_command(home, needs_home=False)
    with failing_in_one_line():
        counts = restore_backup(settings, folder)
    print(f"restored: {describe(counts)}")


@app.command()
def gc(
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the files.")] = False,
    older_than: Annotated[
        float, typer.Option(help="Keep files that are younger than this many seconds.")
    ] = 600.0,
) -> None:
    """Delete stored files that no row refers to. A running service does the same by itself."""
    from runtime.settings import settings_of_command
    from storage.database.engine import Database
    from storage.files.blobs import open_blobs
    from storage.files.retention import delete_unreferenced, find_orphans

    settings = settings_of_command(home, needs_home=False)
    with failing_in_one_line():
        database = Database(settings.resolved_database_url)
        blobs = open_blobs(settings)
        try:
            orphans = find_orphans(database, blobs, older_than)
            if not dry_run:
                delete_unreferenced(database, blobs, orphans)
        finally:
            database.dispose()
    verb = "would be" if dry_run else "were"
    print(f"{len(orphans)} files of {sum(orphans.values())} bytes {verb} deleted")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the plots and numbers.", callback=expand_user)
    ] = Path("demo"),
) -> None:
    """Start a temporary service, train fifteen nets on real digits, draw the result: a minute."""
    from ops.demo import run_demo

    run_demo(out)


@app.command()
def gallery(
    only: Annotated[list[str] | None, typer.Option(help="Only this preset. Repeatable.")] = None,
    home: Annotated[
        Path,
        typer.Option(
            help="Folder of the service that computes it; kept, so that it can continue.",
            callback=expand_user,
        ),
    ] = Path("~/.richregime-gallery"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of data set files.", callback=expand_user)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the pages, figures/ and results/.", callback=expand_user),
    ] = Path("docs"),
    page_only: Annotated[
        bool, typer.Option(help="Only write the page, from the results in the folder.")
    ] = False,
) -> None:
    """Compute every figure and table of the paper, most of them at its size.

    Writes paper-map.md with an answer for each claim, paper-experiments.md with what every
    experiment found, and a page for each figure. On two cores it takes a day. Records of
    experiments that have ended are kept.
    """
    from rich.console import Console

    from ops.gallery.compute import compute
    from ops.gallery.entries import list_entries, list_left_out
    from ops.gallery.page import write_pages

    entries = [entry for entry in list_entries(data_dir) if not only or entry.preset in only]
    missing = set(only or ()) - {entry.preset for entry in entries}
    if missing:
        raise typer.BadParameter(f"unknown presets at quick scale: {', '.join(sorted(missing))}")
    console = Console()
    for entry in list_left_out(data_dir):
        if entry.preset in {one.preset for one in entries} and not page_only:
            console.print(
                f"{entry.name}: {entry.data_file} is not in --data-dir; the quick preset is "
                "computed instead"
            )
    succeeded = page_only or compute(entries, home, data_dir, out / "results", console)
    write_pages(out / "results", out / "paper-map.md")
    raise typer.Exit(0 if succeeded else 1)


@app.command()
def doctor(
    url: Annotated[
        str | None,
        typer.Argument(help="Address of the service to check; this host by default."),
    ] = None,
    home: Annotated[Path | None, typer.Option(help=HOME_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Check a deployment. Exit code 0: no problems, 1: warnings, 2: errors."""
    from ops.doctor.command import report

    raise typer.Exit(report(url, home, as_json))


@app.command()
def openapi() -> None:
    """Print the OpenAPI description of the API as YAML."""
    from api.http.openapi import openapi_yaml

    sys.stdout.write(openapi_yaml())


def describe(counts: Mapping[str, int]) -> str:
    """Numbers and what they count."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def become(module: str, arguments: list[str]) -> None:
    """Replace this process by `python -m module`, so that it receives signals directly."""
    sys.stdout.flush()
    from runtime.environment import without_leftovers

    command = [sys.executable, "-P", "-m", module, *arguments]
    environment = without_leftovers(os.environ)
    os.execve(command[0], command, environment)  # noqa: S606 - without a shell  # nosec B606
