"""The progress of an experiment in a terminal, until it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from richregime import calls
from richregime.client import Client
from richregime.enums import RunStatus
from richregime.errors import WaitTimeout
from richregime.formatting import format_duration, format_range
from richregime.layout import shorten
from richregime.sparklines import curves_table
from richregime.types import Event, Experiment

POLL_SECONDS = 0.5
POLLS_PER_CURVE = 4
MAX_STEPS = 40
BAR_WIDTH = 40
DEFAULT_CURVES = ("test_accuracy", "train_loss")
HIDDEN_EVENTS = {"run.progress", "run.queued", "experiment.submitted"}
"""Events that the progress bar already shows."""
ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)


def watch(
    client: Client,
    experiment_id: str,
    console: Console,
    timeout: float | None = None,
    curves: Sequence[str] | None = None,
) -> Experiment:
    """Show a progress bar, the events and the curves of metrics until the experiment ends.

    Polls twice a second, so that the bar also moves between events. Curves are drawn only in a
    terminal. Returns the ended experiment. Raises WaitTimeout after `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last_sequence = 0
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(min(BAR_WIDTH, console.width // 4)),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[runs]}"),
        console=console,
    )
    task = bar.add_task("", total=1.0, runs="")
    drawn = (
        _Curves(client, experiment_id, curves or DEFAULT_CURVES) if console.is_terminal else None
    )
    with ExitStack() as ending:
        if not console.is_terminal:
            ending.callback(console.line)  # Live leaves its last line open
        live = ending.enter_context(Live(console=console, refresh_per_second=4))
        while True:
            experiment = client.get(experiment_id)
            for event in client.send_all(calls.list_events(experiment_id, after=last_sequence)):
                last_sequence = max(last_sequence, event.sequence)
                if event.name not in HIDDEN_EVENTS:
                    live.console.print(describe_event(event), highlight=False, markup=False)
            bar.update(
                task,
                description=str(experiment.status),
                completed=1.0 if experiment.terminal else experiment.progress.fraction,
                runs=describe_counts(experiment),
            )
            live.update(
                Group(
                    Text(
                        shorten(
                            experiment.title or experiment.name or experiment.id, console.width
                        ),
                        style="bold",
                    ),
                    bar,
                    *([Text(note, overflow="fold")] if (note := describe_wait(experiment)) else []),
                    *([drawn.table_of(experiment, console.width)] if drawn is not None else []),
                )
            )
            if experiment.terminal:
                return experiment
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{experiment_id} did not end within {format_duration(timeout)}; it continues"
                )
            time.sleep(POLL_SECONDS)


class _Curves:
    """The curves of an experiment, fetched again every POLLS_PER_CURVE polls."""

    def __init__(self, client: Client, experiment_id: str, names: Sequence[str]) -> None:
        self._client, self._id, self._names = client, experiment_id, names
        self._points: dict[int, dict[str, Any]] = {}
        self._table = Table(box=None)
        self._polls = 0

    def table_of(self, experiment: Experiment, width: int) -> Table:
        if experiment.num_points > len(self._points):
            runs = self._client.runs(self._id)
            self._points = {run.point.index: run.point.values for run in runs}
        if experiment.terminal or self._polls % POLLS_PER_CURVE == 0:
            metrics = self._client.metrics(
                self._id, names=self._names, aggregate=True, points=MAX_STEPS
            )
            self._table = curves_table(metrics, self._points, self._names, width)
        self._polls += 1
        return self._table


def describe_counts(experiment: Experiment) -> str:
    """`3/6 runs`."""
    counts = experiment.counts
    ended = sum(count for status, count in counts.items() if status in ENDED)
    return f"{ended}/{sum(counts.values())} runs"


def describe_wait(experiment: Experiment) -> str:
    """Why the experiment waits and when it starts, or what is left; empty where it has ended."""
    if experiment.terminal:
        return ""
    if experiment.counts.get(RunStatus.RUNNING):
        left = experiment.progress.eta_seconds
        return "" if left is None else f"about {format_duration(left)} left"
    if experiment.queue.reason:
        return f"waiting: {experiment.queue.reason}"
    if not experiment.queue.workers_listening:  # an older service gives no reason for it
        return "waiting: no worker is listening"
    times = experiment.queue.starts_in_seconds
    starts = "" if times is None else f"; starts {format_range(times.low, times.high)}, roughly"
    return f"{experiment.queue.runs_ahead} ahead in the queue{starts}"


SECONDS = "_seconds"
"""The ending of a field that holds a time in seconds"""


def describe_event(event: Event) -> str:
    facts = " ".join(
        f"{name.removesuffix(SECONDS)}={format_duration(value)}"
        if name.endswith(SECONDS) and isinstance(value, int | float)
        else f"{name}={value}"
        for name, value in event.data.items()
        if isinstance(value, str | int | float)
    )
    return f"{event.at:%H:%M:%S} {event.name} {event.run_id or ''} {facts}".rstrip()
