"""The plot of sparse training: accuracy against the share of parameters that may move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.share_curves import draw_share_curves
from engine.experiments.sparse_train.result import SparseTrainPointResult
from engine.kind import PlotInput
from engine.plotting import PlotOptions

TITLES = {
    "movement": "those that move most",
    "gradient_weight": "largest gradient times weight",
    "random": "drawn at random",
    "by_layer": "shares of layers",
}


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """Accuracy by mask and share; the kind's README lists the fields."""
    points = []
    for result in source.summary:
        assert isinstance(result, SparseTrainPointResult)
        points.append(
            {
                "values": dict(result.point),
                "n": result.test_accuracy.n,
                "outcome": result.outcome,
                "reference": result.test_accuracy.mean,
                "curves": [
                    {
                        "series": curve.mask,
                        "percent": list(curve.shares_percent),
                        "mean": [one.mean for one in curve.test_accuracy],
                        "standard_error": [one.standard_error for one in curve.test_accuracy],
                    }
                    for curve in result.curves
                ],
            }
        )
    return {"title": source.title, "points": points}


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """One line per mask; dotted: the training with all parameters."""
    return draw_share_curves(
        numbers,
        options,
        xlabel="Parameters that may move (% of all)",
        reference="all parameters",
        titles=TITLES,
    )
