"""submit, watch, cancel, retry, extend: start, follow and end experiments."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from richregime.commands.bodies import change_body, read_body, read_seeds, read_values
from richregime.commands.shared import (
    AFTER_A_FAILURE,
    EXIT_CODES,
    PROGRAM,
    AsJson,
    PresetReading,
    Scale,
    Timeout,
    Url,
    open_client,
    print_hint,
    print_json,
)
from richregime.enums import ExperimentStatus

if TYPE_CHECKING:
    from richregime.client import Client
    from richregime.types import Experiment, Preview

app = typer.Typer()


class WebhookFormat(StrEnum):
    """What the body of a webhook's POST is like."""

    STANDARD = "standard"
    SLACK = "slack"


File = Annotated[
    str | None,
    typer.Argument(help="A JSON or YAML file with a body or a spec; `-` is standard input."),
]
PresetName = Annotated[str | None, typer.Option("--preset", help="Start from this preset.")]
PresetScale = Annotated[Scale, typer.Option(help="The scale of the preset.")]
KindName = Annotated[
    str | None, typer.Option("--kind", help="Start from the defaults of this kind.")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a field of the spec: --set model.width=100. Repeatable."),
]
Axes = Annotated[
    list[str] | None,
    typer.Option("--sweep", help="Sweep a field: --sweep model.width=10,100. Repeatable."),
]
Seeds = Annotated[str | None, typer.Option(help="The seeds: 0-4 or 0,1,7.")]
SeedsOrPlan = Annotated[
    str | None,
    typer.Option(
        help="The seeds: 0-4 or 0,1,7. Or `decided`: seeds are added until the verdicts on the "
        "paper's claims are decided; `decided:5,5,40` starts with 5, adds 5 at a time, and takes "
        "at most 40."
    ),
]
Name = Annotated[str | None, typer.Option(help="The name of the experiment.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value. Repeatable.")]
Notify = Annotated[bool, typer.Option("--notify", help="Sound the terminal bell at the end.")]
NotifyCommand = Annotated[
    str | None,
    typer.Option(
        help="A command to run at the end, with RICHREGIME_EXPERIMENT and RICHREGIME_STATUS set."
    ),
]
Curves = Annotated[
    list[str] | None,
    typer.Option(
        "--curve",
        help="A metric to draw while waiting; test_accuracy and train_loss by default. Repeatable.",
    ),
]


def _initial_body(
    client: Client,
    file: str | None,
    preset: str | None,
    kind: str | None,
    scale: Scale,
    reading: str | None,
    *,
    is_changed: bool,
) -> Mapping[str, Any]:
    """The body before options are applied; if fields will be set, with all defaults of the spec."""
    if file is not None:
        body = read_body(file)
    elif preset is not None:
        body = client.preset(preset, scale=scale, reading=reading).body
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
        raise typer.BadParameter("give exactly one of FILE (or `-`), --preset NAME and --kind NAME")


def _require_preset(preset: str | None, reading: str | None) -> None:
    if reading is not None and preset is None:
        raise typer.BadParameter("--reading changes a preset; give --preset NAME with it")


@app.command()
def submit(
    file: File = None,
    preset: PresetName = None,
    scale: PresetScale = Scale.QUICK,
    reading: PresetReading = None,
    kind: KindName = None,
    fields: Fields = None,
    sweep: Axes = None,
    seeds: SeedsOrPlan = None,
    name: Name = None,
    labels: Labels = None,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-10, max=10, help="Among your own runs; a step equals an hour of waiting."
        ),
    ] = None,
    max_seconds: Annotated[
        int | None, typer.Option(min=1, help="A run that computes for longer fails.")
    ] = None,
    no_reuse: Annotated[
        bool, typer.Option("--no-reuse", help="Compute it even if an identical experiment exists.")
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="A URL that the service sends a signed POST to at the end."),
    ] = None,
    webhook_format: Annotated[
        WebhookFormat, typer.Option(help="slack: a line of text, for Slack and the like.")
    ] = WebhookFormat.STANDARD,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the points, the runs and the cost.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the experiment until it ends.")
    ] = False,
    notify: Notify = False,
    notify_command: NotifyCommand = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Submit an experiment and print its id."""
    _require_one(file, preset, kind)
    if webhook is None and webhook_format is not WebhookFormat.STANDARD:
        raise typer.BadParameter("--webhook-format needs --webhook")
    _require_preset(preset, reading)
    with open_client(url) as client:
        body = change_body(
            _initial_body(client, file, preset, kind, scale, reading, is_changed=bool(fields)),
            fields=fields or (),
            sweep=sweep or (),
            seeds=seeds,
            labels=labels or (),
            name=name,
            priority=priority,
            max_seconds=max_seconds,
            reuse=False if no_reuse else None,
            webhook={"url": webhook, "format": webhook_format.value} if webhook else None,
        )
        if dry_run:
            found = client.preview(body)
            print_json(found) if as_json else _print_preview(found)
            return
        experiment = client.submit(body)
        if as_json and not watch:
            print_json(experiment)
        elif not as_json:
            print(experiment.id, flush=True)
        if experiment.reused:
            print(
                "this identical experiment exists already; --no-reuse computes it again",
                file=sys.stderr,
            )
        if watch:
            _follow(client, experiment.id, timeout, notify, notify_command, None, as_json)
        print_hint(f"{PROGRAM} watch {experiment.id}   or see {client.url}/view/{experiment.id}")


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
    """Follow an experiment until it ends.

    Exit codes: 0 succeeded, 1 failed, 3 cancelled, 6 did not end in time.
    """
    with open_client(url) as client:
        _follow(client, experiment_id, timeout, notify, notify_command, curves, as_json)


@app.command()
def extend(
    experiment_id: str,
    seeds: Seeds = None,
    sweep: Axes = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Add seeds or values of swept fields. Only missing runs are computed."""
    if seeds is None and not sweep:
        raise typer.BadParameter("give --seeds, --sweep or both")
    axes = {
        path: read_values(values)
        for path, _, values in (axis.partition("=") for axis in sweep or ())
    }
    changes: dict[str, Any] = {"seeds": read_seeds(seeds) if seeds else [], "sweep": axes}
    with open_client(url) as client:
        _print_status(client.extend(experiment_id, **changes), as_json)
        print_hint(f"{PROGRAM} watch {experiment_id}")


def _print_preview(preview: Preview) -> None:
    from rich.console import Console

    from richregime.tables import preview_table

    Console().print(preview_table(preview))


def _print_status(experiment: Experiment, as_json: bool) -> None:
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
    from rich.console import Console

    from richregime.progress import watch as watch_experiment

    experiment = watch_experiment(client, experiment_id, Console(stderr=True), timeout, curves)
    if as_json:
        print_json(experiment)
    if experiment.reason is not None:
        print(f"{experiment.reason}: {experiment.detail or 'no detail'}", file=sys.stderr)
    if experiment.reason is not None and experiment.reason in AFTER_A_FAILURE:
        print_hint(AFTER_A_FAILURE[experiment.reason].replace("ID", experiment.id))
    if experiment.status == ExperimentStatus.SUCCEEDED:
        print_hint(
            f"{PROGRAM} result {experiment.id}   {PROGRAM} plot {experiment.id}   "
            f"{client.url}/view/{experiment.id}"
        )
    _notify(experiment, notify, notify_command)
    raise typer.Exit(EXIT_CODES[experiment.status])


def _notify(experiment: Experiment, with_sound: bool, command: str | None) -> None:
    if with_sound:
        print("\a", end="", file=sys.stderr, flush=True)
    if command is None:
        return
    variables = {
        "RICHREGIME_EXPERIMENT": experiment.id,
        "RICHREGIME_STATUS": str(experiment.status),
    }
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command on the user's own machine  # nosec B603
            shlex.split(command), env={**os.environ, **variables}, check=False
        )
    except (OSError, ValueError) as error:
        print(f"--notify-command could not be started: {error}", file=sys.stderr)
        return
    if done.returncode:
        print(f"--notify-command returned {done.returncode}", file=sys.stderr)
