"""Showing an experiment's progress in a terminal until it has ended."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from client import calls
from client.client import Client
from client.errors import WaitTimeout
from schemas.events import Event, EventName
from schemas.resources import Experiment
from schemas.status import RunStatus

LOOK_SECONDS = 0.5
UNTOLD = {EventName.RUN_PROGRESS, EventName.RUN_QUEUED, EventName.EXPERIMENT_SUBMITTED}
"""Events that the bar already shows."""


def watch(client: Client, experiment_id: str, console: Console, timeout: float | None = None) -> Experiment:
    """Show a bar and each event worth telling until the experiment has ended; what it ended as.

    Looks twice a second, so that the bar moves between events too. Raises WaitTimeout after `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[runs]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(experiment_id, total=1.0, runs="")
        while True:
            experiment = client.get(experiment_id)
            for event in client.send_all(calls.list_events(experiment_id, after=seen)):
                seen = max(seen, event.sequence)
                if event.name not in UNTOLD:
                    bar.console.print(describe_event(event), highlight=False, markup=False)
            bar.update(
                task,
                description=f"{experiment.name or experiment.id} {experiment.status}",
                completed=1.0 if experiment.terminal else experiment.progress.fraction,
                runs=describe_counts(experiment),
            )
            if experiment.terminal:
                return experiment
            if deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(f"{experiment_id} was not finished within {timeout:g} s; it goes on")
            time.sleep(LOOK_SECONDS)


def describe_counts(experiment: Experiment) -> str:
    counts = experiment.counts
    done = sum(count for status, count in counts.items() if status.is_terminal)
    text = f"{done}/{sum(counts.values())} runs"
    if experiment.terminal or counts.get(RunStatus.RUNNING):
        return text
    if not experiment.queue.workers_listening:
        return f"{text}; waiting: no worker is listening"
    return f"{text}; {experiment.queue.runs_ahead} ahead in the queue"


def describe_event(event: Event) -> str:
    facts = " ".join(
        f"{name}={value}" for name, value in event.data.items() if isinstance(value, str | int | float)
    )
    return f"{event.at:%H:%M:%S} {event.name} {event.run_id or ''} {facts}".rstrip()
