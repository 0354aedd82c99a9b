"""The record of an entry: what the pages of the gallery are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.paper.preset_departures import list_preset_choices, list_preset_departures
from ops.gallery.entries import CHANGES, Entry, list_entries
from ops.gallery.texts import Record

DPI = 110
"""Resolution of the stored plots: enough for a page, small enough for a repository"""


def make_record(
    entry: Entry,
    *,
    digest: str | None,
    run_seconds: float,
    machine: Mapping[str, Any],
    reused_trainings: bool,
    points: Sequence[Mapping[str, Any]],
    comparison: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The record of a computed entry.

    digest: of the service's experiment; None where the engine alone computed it. points: the
    result's. comparison: with the paper; None for a kind without claims.
    """
    preset = entry.find_preset()
    return {
        "name": entry.name,
        "preset": preset.name,
        "scale": preset.scale,
        "reading": entry.reading,
        **_texts_of(entry),
        "plots": [one.name for one in entry.list_pictures()],
        "body": entry.body(),
        "is_changed": entry.is_changed,
        "digest": digest,
        "run_seconds": run_seconds,
        "machine": dict(machine),
        "reused_trainings": reused_trainings,
        "points": [dict(point) for point in points],
        "comparison": None if comparison is None else dict(comparison),
    }


def renew_texts(record: Record) -> Record:
    """The record with today's texts of its entry, which needs no computing.

    As it is where the entry now computes something else.
    """
    for entry in (*CHANGES, *list_entries()):
        if entry.name == record["name"] and _computes(entry, record):
            return {**record, **_texts_of(entry)}
    return record


def _computes(entry: Entry, record: Record) -> bool:
    body = json.loads(json.dumps(entry.body()))
    return all(body[part] == record["body"].get(part) for part in ("spec", "sweep", "seeds"))


def _texts_of(entry: Entry) -> dict[str, Any]:
    """What the record tells that is no result."""
    preset = entry.find_preset()
    return {
        "title": entry.title,
        "description": preset.description,
        "departures": list(list_preset_departures(preset)),
        "choices": list(list_preset_choices(preset)),
    }
