"""Presets with the learning rate that the paper prints, in place of the one at which the nets train."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from engine.experiments.registry import parse_spec
from engine.kind import Preset
from engine.optim.spec import AdamSpec

PRINTED_ADAM_LR = 0.1
"""Section 3 of the paper; a net deeper than one hidden layer stays at chance at it."""


def print_literally(preset: Preset) -> Preset:
    """The preset with every Adam at the printed rate; one that uses another optimiser is unchanged."""
    spec = parse_spec(preset.body["spec"])
    if not isinstance(spec.optimizer, AdamSpec) or spec.optimizer.lr == PRINTED_ADAM_LR:
        return preset
    body: dict[str, Any] = deepcopy(dict(preset.body))
    body["spec"]["optimizer"] = spec.optimizer.model_dump(mode="json") | {"lr": PRINTED_ADAM_LR}
    return replace(preset, body=body)
