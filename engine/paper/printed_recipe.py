"""Presets with the optimiser and schedule that the paper prints.

Other presets train at a learning rate at which the nets do train.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from engine.experiments.registry import parse_spec
from engine.kind import Preset
from engine.paper.deviations import find_recipe


def use_printed_recipe(preset: Preset) -> Preset:
    """The preset with the optimiser and the schedule that the paper prints for its net (Section 3).

    Adam's printed rate of 0.1 leaves all but the shallowest nets at chance.
    """
    recipe = find_recipe(parse_spec(preset.body["spec"]))
    body: dict[str, Any] = deepcopy(dict(preset.body))
    body["spec"]["optimizer"] = recipe.optimizer.model_dump(mode="json")
    body["spec"]["schedule"] = recipe.schedule.model_dump(mode="json")
    return replace(preset, body=body)
