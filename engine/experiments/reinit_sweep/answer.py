"""What answers the question of a re-initialisation sweep: the accuracy that is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.analysis.fractions import percent_key
from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.reinit_sweep.result import PERCENTS
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec, layer_names
from engine.models.layout import layout
from engine.spec import ExperimentSpec

_FRACTION = {"active": "gamma", "lazy": "epsilon", "random": "random gamma"}
"""What the fraction of a mode is called"""


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """The low point, accuracies at the fractions of interest and of each layer reset.

    Then the accuracy of the trained net and of the random one, for reference, and what is lost at
    the fractions of interest.
    """
    curves = point["curves"]
    return [
        *(column for curve in curves for column in _low_point(curve)),
        *(column for curve in curves for column in _at_percents(curve)),
        *(
            make_column(
                f"accuracy_without_{layer['name']}",
                f"accuracy with {layer['name']} reset",
                layer["test_accuracy"],
                unit="accuracy",
            )
            for layer in point.get("layers", ())
        ),
        make_column(
            "test_accuracy", "accuracy of the trained net", point["test_accuracy"], better="higher"
        ),
        make_column(
            "initial_test_accuracy", "accuracy of the random net", point["initial_test_accuracy"]
        ),
        *(column for curve in curves for column in _lost(curve)),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The curves and layers that a result will have."""
    assert isinstance(spec, ReinitSweepSpec)
    fractions = spec.fractions_percent
    return {
        "curves": [
            {
                "mode": mode,
                "fractions_percent": fractions,
                "test_accuracy": [PLACEHOLDER] * len(fractions),
                "lost": {
                    percent_key(percent): PLACEHOLDER
                    for percent in PERCENTS
                    if percent in fractions
                },
            }
            for mode in spec.modes
            if mode != "layer"
        ],
        "layers": [
            {"name": name, "test_accuracy": PLACEHOLDER}
            for name in layer_names(len(layout(spec.model, info)))
            if "layer" in spec.modes
        ],
    }


def _low_point(curve: Mapping[str, Any]) -> list[AnswerColumn]:
    """The lowest mean of the mode `active` at a gamma between 0 and 100 %, and that gamma."""
    inside = [
        (value["mean"], percent, value)
        for percent, value in zip(curve["fractions_percent"], curve["test_accuracy"], strict=True)
        if 0 < percent < 100
    ]
    if curve["mode"] != "active" or not inside:
        return []
    _, percent, lowest = min(inside, key=lambda found: found[:2])
    where = {"mean": percent, "standard_error": None, "ci95": None, "n": lowest["n"]}
    return [
        make_column("low_point", "lowest accuracy", lowest, unit="accuracy", is_mean=False),
        make_column("low_point_percent", "gamma of the lowest accuracy", where, is_mean=False),
    ]


def _at_percents(curve: Mapping[str, Any]) -> list[AnswerColumn]:
    found = dict(zip(curve["fractions_percent"], curve["test_accuracy"], strict=True))
    fraction = _FRACTION[curve["mode"]]
    return [
        make_column(
            f"accuracy_at_{fraction.replace(' ', '_')}_{percent_key(percent)}",
            f"accuracy at {fraction} = {percent_key(percent)} %",
            found[percent],
            unit="accuracy",
        )
        for percent in PERCENTS
        if percent in found
    ]


def _lost(curve: Mapping[str, Any]) -> list[AnswerColumn]:
    """Paired by seed; none of a result that was stored before they were computed."""
    fraction = _FRACTION[curve["mode"]]
    return [
        make_column(
            f"lost_at_{fraction.replace(' ', '_')}_{percent}",
            f"accuracy lost at {fraction} = {percent} %",
            lost,
            unit="difference",
            better="lower",
        )
        for percent, lost in curve.get("lost", {}).items()
    ]
