"""What answers the question of an activity map: in which layers the active parameters are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.analysis.fractions import percent_key
from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.activity_map.spec import ActivityMapSpec
from engine.models.layout import layout
from engine.spec import ExperimentSpec

FIRST_ALPHA_PERCENT = 1.0
"""The counted alpha nearest to it comes first."""


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Each layer's share of the active set, bottom first, for each alpha; then the accuracy."""
    alphas = sorted(
        point["alphas_percent"], key=lambda alpha: (abs(alpha - FIRST_ALPHA_PERCENT), alpha)
    )
    return [
        *(_share(layer, percent_key(alpha)) for alpha in alphas for layer in point["layers"]),
        make_column("test_accuracy", value=point["test_accuracy"], better="higher"),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The alphas and layers that a result will have."""
    assert isinstance(spec, ActivityMapSpec)
    share = {percent_key(alpha): PLACEHOLDER for alpha in spec.alphas_percent}
    return {
        "alphas_percent": spec.alphas_percent,
        "layers": [{"name": layer.name, "share": share} for layer in layout(spec.model, info)],
    }


def _share(layer: Mapping[str, Any], alpha: str) -> AnswerColumn:
    return make_column(
        f"share_of_{layer['name']}_at_alpha_{alpha}",
        f"share of {layer['name']} at alpha = {alpha} %",
        layer["share"].get(alpha),
        unit="share",
    )
