"""The record of an entry: what the pages of the gallery are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.paper.preset_departures import list_preset_choices, list_preset_departures
from ops.gallery.entries import Entry

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
        "title": entry.title,
        "description": preset.description,
        "plots": [one.name for one in entry.list_pictures()],
        "body": entry.body(),
        "departures": list(list_preset_departures(replace(preset, body=entry.body()))),
        "choices": list(list_preset_choices(preset)),
        "is_changed": entry.is_changed,
        "digest": digest,
        "run_seconds": run_seconds,
        "machine": dict(machine),
        "reused_trainings": reused_trainings,
        "points": [dict(point) for point in points],
        "comparison": None if comparison is None else dict(comparison),
    }
