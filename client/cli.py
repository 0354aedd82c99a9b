"""The commands that speak to a service: submit, watch, list, result, comparison, cancel, preset."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.client import Client
from client.connecting import URL_VARIABLE
from client.errors import ClientError, ProblemError, ServiceUnreachable, WaitTimeout
from client.tables import experiments_table, published_table, result_table, verdicts_table
from client.watching import watch as watch_experiment
from schemas.resources import Experiment
from schemas.status import ExperimentStatus


class ExitCode(IntEnum):
    """What a script learns from a command's end."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    REFUSED = 4
    """The service said no: a bad spec, an unknown id."""
    UNREACHABLE = 5
    TIMED_OUT = 6
    """The experiment goes on; only the waiting ended."""


class Scale(StrEnum):
    QUICK = "quick"
    PAPER = "paper"


EXIT_CODES = {
    ExperimentStatus.SUCCEEDED: ExitCode.SUCCEEDED,
    ExperimentStatus.FAILED: ExitCode.FAILED,
    ExperimentStatus.CANCELLED: ExitCode.CANCELLED,
}

Url = Annotated[
    str | None,
    typer.Option("--url", envvar=URL_VARIABLE, help="The service's address.", show_default="this machine's"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Timeout = Annotated[float | None, typer.Option(help="Stop waiting after so many seconds.")]

app = typer.Typer(no_args_is_help=True, add_completion=False)
presets = typer.Typer(
    no_args_is_help=True, help="Named experiments: the paper's figures and tables, and the demo."
)
app.add_typer(presets, name="preset")


@contextmanager
def talking_to(url: str | None) -> Iterator[Client]:
    """A client whose errors end the command readably, with an exit code that says which."""
    try:
        with Client(url, max_retries=3) as client:
            yield client
    except ClientError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(_exit_code_of(error)) from None


@app.command()
def submit(
    file: Annotated[
        str | None,
        typer.Argument(help="A JSON file with a body or a spec; `-` reads it from standard input."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Submit this preset instead of a file.")] = None,
    scale: Annotated[Scale, typer.Option(help="The preset's size.")] = Scale.QUICK,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    timeout: Timeout = None,
    url: Url = None,
) -> None:
    """Submit an experiment and print its id."""
    if (file is None) == (preset is None):
        raise typer.BadParameter("give a FILE (or `-`), or --preset NAME: one of the two")
    with talking_to(url) as client:
        body = read_body(file) if file is not None else client.preset(preset or "", scale=scale)["body"]
        experiment = client.submit(body)
        print(experiment.id, flush=True)
        if experiment.reused:
            print("an identical experiment exists; this is it", file=sys.stderr)
        if watch:
            _follow(client, experiment.id, timeout)


@app.command()
def watch(experiment_id: str, timeout: Timeout = None, url: Url = None) -> None:
    """Follow an experiment to its end: exit code 0 succeeded, 1 failed, 3 cancelled, 6 not finished in time."""
    with talking_to(url) as client:
        _follow(client, experiment_id, timeout)


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    status: Annotated[ExperimentStatus | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """The newest experiments."""
    with talking_to(url) as client:
        page = client.list(kind=kind, status=status, limit=limit)
    if as_json:
        print(page.model_dump_json(indent=2))
    else:
        Console().print(experiments_table(page.items))


@app.command()
def result(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """An experiment's result: mean ± standard error of each quantity at each point."""
    with talking_to(url) as client:
        found = client.result(experiment_id)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        Console().print(result_table(found, f"{found['kind']} {experiment_id}"))


@app.command()
def comparison(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """An experiment beside the paper: a verdict on each claim it can speak to, and the printed numbers next to ours."""
    with talking_to(url) as client:
        found = client.comparison(experiment_id)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console()
    if found["verdicts"]:
        console.print(verdicts_table(found))
    if found["published"]:
        console.print(published_table(found))
    for deviation in found["deviations"]:
        console.print(f"departs from the paper: {deviation}", markup=False, highlight=False)
    console.print(found["note"], markup=False, highlight=False)


@app.command()
def cancel(experiment_id: str, url: Url = None) -> None:
    """End an experiment; what it has computed so far is kept."""
    with talking_to(url) as client:
        experiment = client.cancel(experiment_id)
    print(f"{experiment.id} {experiment.status}")


@presets.command(name="list")
def list_presets(as_json: AsJson = False, url: Url = None) -> None:
    """What can be submitted by name."""
    with talking_to(url) as client:
        found = [*client.presets()]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table()
    for column in ("name", "scale", "kind", "title"):
        table.add_column(column)
    for one in found:
        table.add_row(one["name"], one["scale"], one["kind"], one["title"])
    Console().print(table)


@presets.command(name="show")
def show_preset(
    name: str, scale: Annotated[Scale, typer.Option(help="Its size.")] = Scale.QUICK, url: Url = None
) -> None:
    """A preset's body as JSON, ready to be changed and submitted."""
    with talking_to(url) as client:
        print(json.dumps(client.preset(name, scale=scale)["body"], indent=2))


def read_body(file: str) -> dict[str, Any]:
    """A body or spec from a JSON file, or from standard input for `-`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        body = json.loads(text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    if not isinstance(body, dict):
        raise typer.BadParameter(f"{file}: a body is a JSON object")
    return body


def _follow(client: Client, experiment_id: str, timeout: float | None) -> None:
    experiment = watch_experiment(client, experiment_id, Console(stderr=True), timeout)
    _tell_failure(experiment)
    raise typer.Exit(EXIT_CODES[experiment.status])


def _tell_failure(experiment: Experiment) -> None:
    if experiment.reason is not None:
        print(f"{experiment.reason}: {experiment.detail or 'no detail'}", file=sys.stderr)


def _exit_code_of(error: ClientError) -> ExitCode:
    match error:
        case ProblemError():
            return ExitCode.REFUSED
        case ServiceUnreachable():
            return ExitCode.UNREACHABLE
        case WaitTimeout():
            return ExitCode.TIMED_OUT
        case _:
            return ExitCode.FAILED
