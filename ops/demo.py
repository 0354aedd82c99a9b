"""The demo: a temporary service, one real experiment, its plots and numbers in a folder."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console

from engine.durations import format_seconds
from engine.experiments.registry import presets
from ops.ports import free_port
from ops.up import Stack
from richregime.client import Client
from richregime.enums import ExperimentStatus
from richregime.progress import watch
from richregime.tables import result_table
from richregime.types import Experiment

PRESET = ("demo", "quick")
TIMEOUT_SECONDS = 600.0


def run_demo(out: Path) -> None:
    """Run the preset `demo` and write its plots (PNG and JSON), result and metrics to `out`.

    Its processes and all other files are removed at the end. Raises `typer.Exit(1)` if the
    experiment does not succeed.
    """
    console = Console()
    started = time.monotonic()
    unset_settings()
    console.print("starting a temporary service ...")
    with (
        exit_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="richregime-demo-") as home,
        Stack(Path(home), free_port()) as stack,
        Client(stack.url) as client,
    ):
        experiment = submit_preset(client, console)
        if experiment.status != ExperimentStatus.SUCCEEDED:
            console.print(
                f"the demo ended as {experiment.status}: "
                f"{experiment.reason} {experiment.detail or ''}"
            )
            raise typer.Exit(1)
        written = write_results(client, experiment, out)
        result = client.result(experiment.id)
        console.print(result_table(result, presets()[PRESET].title, console))
    console.print(f"{len(written)} files in {out}/: {', '.join(path.name for path in written)}")
    took = format_seconds(time.monotonic() - started)
    console.print(f"done in {took}; `./run` starts a service that keeps its data")


def submit_preset(client: Client, console: Console) -> Experiment:
    """Submit the preset as a user would and wait for its end."""
    name, scale = PRESET
    experiment = client.submit(client.preset(name, scale=scale).body)
    console.print(
        f"submitted {experiment.id}: {experiment.num_points} points, "
        f"{len(experiment.seeds)} seeds each"
    )
    return watch(client, experiment.id, console, timeout=TIMEOUT_SECONDS)


def write_results(client: Client, experiment: Experiment, out: Path) -> list[Path]:
    """Write result.json, metrics.csv, and each plot as PNG and its numbers as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    contents = {
        "result.json": (client.result(experiment.id).model_dump_json(indent=2) + "\n").encode(),
        "metrics.csv": client.metrics_csv(experiment.id).encode(),
    }
    for plot in presets()[PRESET].plots:
        for image_format in ("png", "json"):
            contents[f"{plot}.{image_format}"] = client.plot(experiment.id, plot, image_format)
    written = [out / name for name in contents]
    for path in written:
        path.write_bytes(contents[path.name])
    return written


def unset_settings() -> None:
    """Remove RICHREGIME_* from the environment, so that the demo uses no existing service."""
    for name in [name for name in os.environ if name.startswith("RICHREGIME_")]:
        del os.environ[name]


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit in the block, so that context managers stop what they started."""

    def raise_exit(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, raise_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
