"""The tables of a run's page: attempts, seeds, times, files and manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.web.formatting import format_bytes, format_seconds, format_value
from engine.result import Timings
from schemas.events import Event, EventName
from storage.database.tables import ArtifactRow
from storage.files import artifacts

ENDS: Mapping[str, str] = {
    EventName.RUN_SUCCEEDED: "succeeded",
    EventName.RUN_FAILED: "failed",
    EventName.RUN_CANCELLED: "cancelled",
    EventName.RUN_INTERRUPTED: "its worker shut down; queued again",
    EventName.RUN_LEASE_LOST: "its worker was lost; queued again",
}
"""How an attempt ended, by the event that says so"""
SUFFIX = "_seconds"


def attempt_rows(newest: Sequence[Event]) -> list[dict[str, Any]]:
    """The attempts, oldest first: start, time, device, worker, and how each ended.

    newest: the run's events, newest first.
    """
    rows: list[dict[str, Any]] = []
    for event in reversed(newest):
        if event.name == EventName.RUN_STARTED:
            named = {name: event.data.get(name, "") for name in ("device", "worker")}
            rows.append({**named, "at": event.at, "time": "", "start": "", "end": "running"})
        elif not rows:
            continue
        elif event.name == EventName.RUN_RESUMED:
            rows[-1]["start"] = "resumed from a checkpoint"
        elif event.name in ENDS:
            told = [event.data.get(name) for name in ("reason", "detail")]
            rows[-1]["end"] = ": ".join([ENDS[event.name], *map(str, filter(None, told))])
            rows[-1]["time"] = format_seconds((event.at - rows[-1]["at"]).total_seconds())
    return rows


def seed_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Outcome of each seed, its notes, and the run whose training it used."""
    return [
        {
            "seed": result["seed"],
            "outcome": result["outcome"],
            "test_accuracy": f"{100 * result['test_accuracy']:.2f}",
            "reused_from": result.get("reused_from"),
            "notes": "; ".join(result.get("notes") or ()),
        }
        for result in results
    ]


def timing_rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(part of the training, its time over all seeds); parts that took no time are left out."""
    timings = [Timings.model_validate(result["timings"]) for result in results]
    parts = [name for name in Timings.model_fields if name.endswith(SUFFIX)]
    totals = {name: sum(getattr(one, name) for one in timings) for name in parts}
    return [
        (name.removesuffix(SUFFIX), format_seconds(total))
        for name, total in totals.items()
        if total > 0
    ]


def file_rows(files: Sequence[ArtifactRow]) -> list[dict[str, Any]]:
    """The files of a run, with the names that downloads give them."""
    return [
        {
            "id": file.id,
            "name": artifacts.file_name(file),
            "role": "resume state" if file.role == "resume" else file.role,
            "seed": "–" if file.seed is None else file.seed,
            "size": format_bytes(file.num_bytes),
            "sha256": file.sha256,
        }
        for file in files
    ]


def manifest_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(field, value) of a manifest without the spec; a nested field by its path."""
    return [
        (path, format_seconds(value) if path.endswith(SUFFIX) else format_value(value))
        for path, value in _leaves({key: one for key, one in manifest.items() if key != "spec"})
    ]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner
