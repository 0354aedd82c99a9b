"""Where a preset departs from the paper: what it states itself, and what its specs show."""

from __future__ import annotations

from engine.kind import Preset
from engine.paper.deviations import list_deviations
from engine.sweep import expand


def list_preset_deviations(preset: Preset) -> tuple[str, ...]:
    """Each deviation once; those that the spec does not show come first."""
    points = expand(preset.body["spec"], preset.body["sweep"])
    found = list_deviations((point.spec for point in points), len(preset.body["seeds"]))
    return tuple(dict.fromkeys((*preset.deviations, *found)))
