"""What a preset does unlike the paper, and what it chooses where the paper is silent.

It states some of both itself; the others its specs show.
"""

from __future__ import annotations

from engine.kind import Preset
from engine.paper.choices import list_choices
from engine.paper.departures import list_departures
from engine.spec import ExperimentSpec
from engine.sweep import expand


def list_preset_departures(preset: Preset) -> tuple[str, ...]:
    """Each departure once; those that the spec does not show come first."""
    found = list_departures(_specs_of(preset), len(preset.body["seeds"]))
    return tuple(dict.fromkeys((*preset.departures, *found)))


def list_preset_choices(preset: Preset) -> tuple[str, ...]:
    """Each choice once; those that the spec does not show come first."""
    return tuple(dict.fromkeys((*preset.choices, *list_choices(_specs_of(preset)))))


def _specs_of(preset: Preset) -> list[ExperimentSpec]:
    return [point.spec for point in expand(preset.body["spec"], preset.body["sweep"])]
