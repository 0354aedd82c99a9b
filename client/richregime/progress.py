"""Showing an experiment's progress in a terminal until it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from richregime import calls
from richregime.client import Client
from richregime.errors import WaitTimeout
from richregime.sparklines import curves_table
from schemas.events import Event, EventName
from schemas.resources import Experiment
from schemas.status import RunStatus

LOOK_SECONDS = 0.5
LOOKS_A_CURVE = 4
STEPS_DRAWN = 40
DEFAULT_CURVES = ("test_accuracy", "train_loss")
UNTOLD = {EventName.RUN_PROGRESS, EventName.RUN_QUEUED, EventName.EXPERIMENT_SUBMITTED}
"""Events that the bar already shows."""


def watch(
    client: Client,
    experiment_id: str,
    console: Console,
    timeout: float | None = None,
    curves: Sequence[str] | None = None,
) -> Experiment:
    """Show a bar, curves of the metrics and each event worth telling until the experiment has ended; what it ended as.

    Looks twice a second, so that the bar moves between events too. Curves are drawn where `console` is a terminal.
    Raises WaitTimeout after `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = 0
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[runs]}"),
        console=console,
    )
    task = bar.add_task(experiment_id, total=1.0, runs="")
    drawn = (
        _Curves(client, experiment_id, curves or DEFAULT_CURVES) if console.is_terminal else None
    )
    with ExitStack() as ending:
        if not console.is_terminal:
            ending.callback(console.line)  # elsewhere Live leaves its last line open
        live = ending.enter_context(Live(bar, console=console, refresh_per_second=4))
        while True:
            experiment = client.get(experiment_id)
            for event in client.send_all(calls.list_events(experiment_id, after=seen)):
                seen = max(seen, event.sequence)
                if event.name not in UNTOLD:
                    live.console.print(describe_event(event), highlight=False, markup=False)
            bar.update(
                task,
                description=f"{experiment.name or experiment.id} {experiment.status}",
                completed=1.0 if experiment.terminal else experiment.progress.fraction,
                runs=describe_counts(experiment),
            )
            if drawn is not None:
                live.update(Group(bar, drawn.look(experiment)))
            if experiment.terminal:
                return experiment
            if deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{experiment_id} was not finished within {timeout:g} s; it goes on"
                )
            time.sleep(LOOK_SECONDS)


class _Curves:
    """The curves, asked for again every few looks."""

    def __init__(self, client: Client, experiment_id: str, names: Sequence[str]) -> None:
        self._client, self._id, self._names = client, experiment_id, names
        self._points: dict[int, dict[str, Any]] = {}
        self._table = Table(box=None)
        self._styles = 0

    def look(self, experiment: Experiment) -> Table:
        if experiment.num_points > len(self._points):
            runs = self._client.runs(self._id)
            self._points = {run.point.index: run.point.values for run in runs}
        if experiment.terminal or self._styles % LOOKS_A_CURVE == 0:
            found = self._client.metrics(
                self._id, names=self._names, aggregate=True, points=STEPS_DRAWN
            )
            self._table = curves_table(found, self._points, self._names)
        self._styles += 1
        return self._table


def describe_counts(experiment: Experiment) -> str:
    counts = experiment.counts
    done = sum(count for status, count in counts.items() if status.is_terminal)
    text = f"{done}/{sum(counts.values())} runs"
    if experiment.terminal or counts.get(RunStatus.RUNNING):
        return text
    if not experiment.queue.workers_listening:
        return f"{text}; waiting: no worker is listening"
    if experiment.queue.reason:
        return f"{text}; waiting: {experiment.queue.reason}"
    return f"{text}; {experiment.queue.runs_ahead} ahead in the queue"


def describe_event(event: Event) -> str:
    facts = " ".join(
        f"{name}={value}"
        for name, value in event.data.items()
        if isinstance(value, str | int | float)
    )
    return f"{event.at:%H:%M:%S} {event.name} {event.run_id or ''} {facts}".rstrip()
