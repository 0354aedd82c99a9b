"""submit, preview, watch, cancel, retry, extend: what starts, follows and ends an experiment."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from richregime.client import Client
from richregime.commands.bodies import change_body, read_body, read_seeds, read_values
from richregime.commands.shared import (
    AFTER_A_FAILURE,
    EXIT_CODES,
    PROGRAM,
    AsJson,
    Scale,
    Timeout,
    Url,
    print_json,
    say,
    talking_to,
)
from richregime.progress import watch as watch_experiment
from richregime.tables import preview_table
from schemas.resources import Experiment
from schemas.status import ExperimentStatus

app = typer.Typer()

File = Annotated[
    str | None,
    typer.Argument(help="A JSON file with a body or a spec; `-` reads it from standard input."),
]
PresetName = Annotated[str | None, typer.Option("--preset", help="Begin with this preset.")]
PresetScale = Annotated[Scale, typer.Option(help="The preset's size.")]
KindName = Annotated[str | None, typer.Option("--kind", help="Begin with this kind's defaults.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a field of the spec: --set model.width=100. May be repeated."),
]
Axes = Annotated[
    list[str] | None,
    typer.Option("--sweep", help="Sweep a field: --sweep model.width=10,100. May be repeated."),
]
Seeds = Annotated[str | None, typer.Option(help="0-4 or 0,1,7.")]
Name = Annotated[str | None, typer.Option(help="Its name.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value. May be repeated.")]
Notify = Annotated[bool, typer.Option("--notify", help="Ring the terminal's wake-up at the end.")]
NotifyCommand = Annotated[
    str | None,
    typer.Option(help="Run this at the end, with RICHREGIME_EXPERIMENT and RICHREGIME_STATUS set."),
]
Curves = Annotated[
    list[str] | None,
    typer.Option(
        "--curve", help="Metric to draw while waiting; test_accuracy and train_loss by default."
    ),
]


def _begin(
    client: Client,
    file: str | None,
    preset: str | None,
    kind: str | None,
    scale: Scale,
    *,
    is_changed: bool,
) -> Mapping[str, Any]:
    """The body before flags; where fields will be set in its spec, with every default written out."""
    if file is not None:
        body = read_body(file)
    elif preset is not None:
        body = client.preset(preset, scale=scale)["body"]
    else:
        body = {"spec": {"kind": kind}}
    if not is_changed:
        return body
    spec = body.get("spec", body)
    return {
        **(body if "spec" in body else {}),
        "spec": client.preview({"spec": spec}).points[0].spec,
    }


def _require_one(file: str | None, preset: str | None, kind: str | None) -> None:
    if [file, preset, kind].count(None) != 2:
        raise typer.BadParameter(
            "give one of the three: a FILE (or `-`), --preset NAME, or --kind NAME"
        )


@app.command()
def submit(
    file: File = None,
    preset: PresetName = None,
    scale: PresetScale = Scale.QUICK,
    kind: KindName = None,
    fields: Fields = None,
    sweep: Axes = None,
    seeds: Seeds = None,
    name: Name = None,
    labels: Labels = None,
    priority: Annotated[
        int | None,
        typer.Option(min=-10, max=10, help="Among your runs; a step is worth an hour of waiting."),
    ] = None,
    max_seconds: Annotated[
        int | None, typer.Option(min=1, help="A run that computes for longer fails.")
    ] = None,
    no_reuse: Annotated[
        bool, typer.Option("--no-reuse", help="Compute it even if an identical one exists.")
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="Where the service tells its end, by a POST signed with its secret."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would do and cost.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    notify: Notify = False,
    notify_command: NotifyCommand = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Submit an experiment and print its id."""
    _require_one(file, preset, kind)
    with talking_to(url) as client:
        body = change_body(
            _begin(client, file, preset, kind, scale, is_changed=bool(fields)),
            fields=fields or (),
            sweep=sweep or (),
            seeds=seeds,
            labels=labels or (),
            name=name,
            priority=priority,
            max_seconds=max_seconds,
            reuse=False if no_reuse else None,
            webhook={"url": webhook} if webhook else None,
        )
        if dry_run:
            found = client.preview(body)
            print_json(found) if as_json else Console().print(preview_table(found))
            return
        experiment = client.submit(body)
        if as_json and not watch:
            print_json(experiment)
        elif not as_json:
            print(experiment.id, flush=True)
        if experiment.reused:
            print(
                "an identical experiment exists; this is it, under the name it has (--no-reuse computes it anew)",
                file=sys.stderr,
            )
        if watch:
            _follow(client, experiment.id, timeout, notify, notify_command, None, as_json)
        say(f"{PROGRAM} watch {experiment.id}   or look at {client.url}/view/{experiment.id}")


@app.command()
def watch(
    experiment_id: str,
    curves: Curves = None,
    notify: Notify = False,
    notify_command: NotifyCommand = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Follow an experiment to its end: exit code 0 succeeded, 1 failed, 3 cancelled, 6 not finished in time."""
    with talking_to(url) as client:
        _follow(client, experiment_id, timeout, notify, notify_command, curves, as_json)


@app.command()
def cancel(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """End an experiment; what it has computed so far is kept."""
    with talking_to(url) as client:
        _tell(client.cancel(experiment_id), as_json)


@app.command()
def retry(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """Run what has failed again; runs go on from their last checkpoint."""
    with talking_to(url) as client:
        _tell(client.retry(experiment_id), as_json)
        say(f"{PROGRAM} watch {experiment_id}")


@app.command()
def extend(
    experiment_id: str,
    seeds: Seeds = None,
    sweep: Axes = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Add seeds or values of swept fields; only what is missing is run."""
    if seeds is None and not sweep:
        raise typer.BadParameter("give --seeds, --sweep or both")
    axes = {
        path: read_values(values)
        for path, _, values in (axis.partition("=") for axis in sweep or ())
    }
    changes: dict[str, Any] = {"seeds": read_seeds(seeds) if seeds else [], "sweep": axes}
    with talking_to(url) as client:
        _tell(client.extend(experiment_id, **changes), as_json)
        say(f"{PROGRAM} watch {experiment_id}")


def _tell(experiment: Experiment, as_json: bool) -> None:
    print_json(experiment) if as_json else print(f"{experiment.id} {experiment.status}")


def _follow(
    client: Client,
    experiment_id: str,
    timeout: float | None,
    notify: bool,
    notify_command: str | None,
    curves: list[str] | None,
    as_json: bool,
) -> None:
    experiment = watch_experiment(client, experiment_id, Console(stderr=True), timeout, curves)
    if as_json:
        print_json(experiment)
    if experiment.reason is not None:
        print(f"{experiment.reason}: {experiment.detail or 'no detail'}", file=sys.stderr)
    if experiment.reason is not None and experiment.reason in AFTER_A_FAILURE:
        say(AFTER_A_FAILURE[experiment.reason].replace("ID", experiment.id))
    if experiment.status is ExperimentStatus.SUCCEEDED:
        say(
            f"{PROGRAM} result {experiment.id}   {PROGRAM} plot {experiment.id}   {client.url}/view/{experiment.id}"
        )
    _notify(experiment, notify, notify_command)
    raise typer.Exit(EXIT_CODES[experiment.status])


def _notify(experiment: Experiment, channel: bool, command: str | None) -> None:
    if channel:
        print("\a", end="", file=sys.stderr, flush=True)
    if command is None:
        return
    told = {"RICHREGIME_EXPERIMENT": experiment.id, "RICHREGIME_STATUS": str(experiment.status)}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command on the user's own machine  # nosec B603
            shlex.split(command), env={**os.environ, **told}, check=False
        )
    except (OSError, ValueError) as error:
        print(f"the command of --notify-command could not be run: {error}", file=sys.stderr)
        return
    if done.returncode:
        print(f"the command of --notify-command ended with {done.returncode}", file=sys.stderr)
