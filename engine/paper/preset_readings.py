"""Presets by a reading of the paper."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from engine.experiments.registry import parse_spec
from engine.kind import Preset
from engine.optim.spec import AdamSpec
from engine.paper.departures import find_recipe
from engine.paper.readings import INITIAL_NET, ReadingName, find_reading, get_reading
from engine.sweep import expand

BARS = "accuracy_bars"
INITIAL = "initial net"
"""How titles and descriptions of presets name it; a reading that calls a later net initial names
that one"""


def apply_reading(preset: Preset, name: ReadingName) -> Preset:
    """The preset with the choices of the reading; its name and labels say so.

    A preset that draws the accuracy of initial nets (Figures 4 and 16) becomes a re-initialisation
    sweep where initial means a later net: its end with every parameter reset is that net.
    """
    reading = get_reading(name)
    body: dict[str, Any] = deepcopy(dict(preset.body))
    spec = body["spec"]
    parsed = parse_spec(spec)
    recipe = find_recipe(parsed)
    if reading.as_printed:
        spec["optimizer"] = recipe.optimizer.model_dump(mode="json")
        spec["schedule"] = recipe.schedule.model_dump(mode="json")
    elif isinstance(recipe.optimizer, AdamSpec) and isinstance(parsed.optimizer, AdamSpec):
        spec["optimizer"] = spec.get("optimizer", {"name": "adam"}) | {"lr": reading.adam_lr}
    spec["data"] = spec.get("data", {}) | {"normalization": reading.normalization}
    plots = preset.plots
    if reading.reset_to != INITIAL_NET and spec["kind"] == "train" and BARS in plots:
        spec |= {"kind": "reinit_sweep", "modes": ["active"], "fractions_percent": [0.0, 100.0]}
        plots = (BARS,)
    initial = INITIAL
    if spec["kind"] == "reinit_sweep" and "reset_to" not in body["sweep"]:
        spec["reset_to"] = dict(reading.reset_to)
        initial = reading.initial_net
    body["name"] = f"{body['name'].replace(INITIAL, initial)} (reading {name})"
    body["labels"] = body["labels"] | {"reading": name}
    return replace(
        preset,
        title=f"{preset.title.replace(INITIAL, initial)} (reading {name})",
        description=f"{preset.description.replace(INITIAL, initial)} {reading.sentence}",
        body=body,
        plots=plots,
    )


def find_preset_reading(preset: Preset) -> ReadingName | None:
    """The reading whose choices all points of the preset make; None where there is none."""
    points = expand(preset.body["spec"], preset.body["sweep"])
    found = {find_reading(point.spec) for point in points}
    return found.pop() if len(found) == 1 else None
