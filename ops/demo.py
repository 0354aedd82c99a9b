"""The demo: a throw-away service, one real experiment, its plots and numbers in a folder."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console

from engine.experiments.registry import presets
from ops.up import Stack
from richregime.client import Client
from richregime.enums import ExperimentStatus
from richregime.progress import watch
from richregime.tables import result_table
from richregime.types import Experiment

PRESET = ("demo", "quick")
TIMEOUT_SECONDS = 600.0


def run_demo(out: Path) -> None:
    """Run the preset `demo` and write its plots (PNG, and the numbers drawn as JSON), result and metrics to `out`.

    Everything else it makes, processes included, is gone afterwards. Ends the command with code 1 where the
    experiment did not succeed.
    """
    console = Console()
    started = time.monotonic()
    forget_settings()
    console.print("starting a throw-away service ...")
    with (
        stopping_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="richregime-demo-") as home,
        Stack(Path(home), free_port()) as stack,
        Client(stack.url) as client,
    ):
        experiment = submit_preset(client, console)
        if experiment.status != ExperimentStatus.SUCCEEDED:
            console.print(
                f"the demo {experiment.status}: {experiment.reason} {experiment.detail or ''}"
            )
            raise typer.Exit(1)
        written = write_results(client, experiment, out)
        console.print(result_table(client.result(experiment.id), presets()[PRESET].title))
    console.print(f"{len(written)} files in {out}/: {', '.join(path.name for path in written)}")
    console.print(
        f"done in {time.monotonic() - started:.0f} s; `./run` starts the service for good"
    )


def submit_preset(client: Client, console: Console) -> Experiment:
    """Submit the preset as any user would and follow it to its end."""
    name, scale = PRESET
    experiment = client.submit(client.preset(name, scale=scale).body)
    console.print(
        f"submitted {experiment.id}: {experiment.num_points} points, {len(experiment.seeds)} seeds each"
    )
    return watch(client, experiment.id, console, timeout=TIMEOUT_SECONDS)


def write_results(client: Client, experiment: Experiment, out: Path) -> list[Path]:
    """The files of the demo: result.json, metrics.csv, and each plot as PNG with its numbers as JSON."""
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


def forget_settings() -> None:
    """Take the user's settings out of this process's environment: the demo must not touch a service that is in use."""
    for name in [name for name in os.environ if name.startswith("RICHREGIME_")]:
        del os.environ[name]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Within it, SIGTERM unwinds the stack as Ctrl-C does, so that whatever was started is stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
