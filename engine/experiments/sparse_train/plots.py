"""The plot of sparse training: accuracy against the share of parameters that may move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.share_curves import ShareCurve, draw_share_curves, list_share_curves
from engine.experiments.sparse_train.result import SparseTrainPointResult
from engine.kind import PlotInput
from engine.plotting import PlotOptions
from engine.result import PointResult

TITLES = {
    "movement": "those that move most",
    "gradient_weight": "largest gradient times weight",
    "random": "drawn at random",
    "by_layer": "shares of layers",
}


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """Accuracy by mask and share; the kind's README lists the fields."""
    return list_share_curves(source, _read)


def _read(result: PointResult) -> Iterator[ShareCurve]:
    assert isinstance(result, SparseTrainPointResult)
    for curve in result.curves:
        yield curve.mask, curve.shares_percent, curve.test_accuracy


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """One line per mask; dotted: the training with all parameters."""
    return draw_share_curves(
        numbers,
        options,
        xlabel="Parameters that may move (% of all)",
        reference="all parameters",
        titles=TITLES,
    )
