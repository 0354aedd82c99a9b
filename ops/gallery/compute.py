"""Computes the gallery: submits every entry to a service, waits, and stores results and plots."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.spec import Execution
from engine.sweep import expand
from ops.demo import exit_on_sigterm
from ops.gallery.entries import Entry
from ops.gallery.record import DPI, make_record
from ops.up import Stack
from richregime.client import Client
from richregime.enums import ExperimentStatus
from richregime.errors import ProblemError
from richregime.types import Experiment
from runtime.settings import Settings

POLL_SECONDS = 10.0


def compute(
    entries: Sequence[Entry], home: Path, data_dir: Path | None, out: Path, console: Console
) -> bool:
    """Write `<name>.json` and `<name>-<plot>.png` of every entry to `out`.

    home: home folder of the service. It is kept, so a second call continues the first one.
    data_dir: folder of data set files, or None.
    Returns whether all experiments succeeded.
    """
    settings = Settings(home=home, data_dir=data_dir)
    out.mkdir(parents=True, exist_ok=True)
    with (
        exit_on_sigterm(),
        Stack(settings.home, 0, settings=settings) as stack,
        Client(stack.url) as client,
    ):
        for name in sorted({entry.data_file for entry in entries if entry.data_file is not None}):
            assert data_dir is not None, "only a data folder lists entries that need a file"
            client.register_dataset(name.removesuffix(".npz"), data_dir / name)
        return _submit_and_write(client, entries, out, console)


def _submit_and_write(
    client: Client, entries: Sequence[Entry], out: Path, console: Console
) -> bool:
    """Write each entry when its experiment has ended; return whether all succeeded.

    An entry that trains a net of an earlier one is submitted when that has ended: two workers would
    train the net twice at the same time.
    """
    waiting, succeeded = list(entries), True
    trained = {entry.name: trained_nets(entry) for entry in entries}
    submitted: dict[str, Experiment] = {}
    while waiting:
        claimed: set[str] = set()
        for entry in list(waiting):
            if entry.name not in submitted and not claimed & trained[entry.name]:
                submitted[entry.name] = client.submit(entry.body())
            claimed |= trained[entry.name]
            if entry.name in submitted:
                latest = client.get(submitted[entry.name].id)
                if latest.terminal:
                    waiting.remove(entry)
                    succeeded &= _write(client, entry, latest, out, console)
        time.sleep(POLL_SECONDS)
    return succeeded


def trained_nets(entry: Entry) -> frozenset[str]:
    """Identities of the nets that an entry trains, without data and seeds."""
    body = entry.body()
    points = expand(body["spec"], body["sweep"])
    return frozenset(point.spec.training_spec_digest(Execution()) for point in points)


def _write(client: Client, entry: Entry, ended: Experiment, out: Path, console: Console) -> bool:
    console.print(f"{entry.name}: {ended.status}")
    if ended.status != ExperimentStatus.SUCCEEDED:
        console.print(f"{ended.reason}: {ended.detail or ''}")
        return False
    if ended.name != entry.title:  # two figures can be plots of one experiment
        ended = client.update(ended.id, name=entry.title)
    for one in entry.list_pictures():
        quantity = {} if one.quantity is None else {"quantity": one.quantity}
        picture = client.plot(ended.id, one.plot, dpi=DPI, **quantity)
        (out / f"{entry.name}-{one.name}.png").write_bytes(picture)
    record = _describe(client, entry, ended)
    (out / f"{entry.name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return True


def _describe(client: Client, entry: Entry, experiment: Experiment) -> dict[str, Any]:
    runs = list(client.runs(experiment.id))
    result = client.result(experiment.id)
    return make_record(
        entry,
        digest=experiment.digest,
        run_seconds=sum(run.elapsed_seconds or 0.0 for run in runs),
        machine=_machine_of(runs[0].manifest or {}),
        reused_trainings=bool(result.reused),
        points=[point.model_dump(mode="json") for point in result.points],
        comparison=_compare(client, experiment.id),
    )


def _machine_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: manifest[name]
        for name in ("versions", "device", "processor", "threads")
        if name in manifest
    }


def _compare(client: Client, experiment_id: str) -> dict[str, Any] | None:
    """The comparison with the paper; None for a kind without claims."""
    try:
        return client.comparison(experiment_id).model_dump(mode="json")
    except ProblemError as error:
        if error.problem.status in (404, 409):
            return None
        raise
