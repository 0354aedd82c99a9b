"""The plot of the lottery ticket: accuracy against the share of the weights that is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.share_curves import ShareCurve, draw_share_curves, list_share_curves
from engine.experiments.lottery.result import LotteryPointResult
from engine.kind import PlotInput
from engine.plotting import PlotOptions
from engine.result import PointResult

TITLES = {
    "ticket": "rewound (ticket)",
    "fresh": "fresh draw, same mask",
    "random": "random mask",
}


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """Accuracy by series and round; the kind's README lists the fields."""
    return list_share_curves(source, _read)


def _read(result: PointResult) -> Iterator[ShareCurve]:
    assert isinstance(result, LotteryPointResult)
    for curve in result.curves:
        yield curve.series, curve.left_percent, curve.test_accuracy


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """One line per series, from many weights to few; dotted: the whole net."""
    return draw_share_curves(
        numbers,
        options,
        xlabel="Weights left (% of all)",
        reference="whole net",
        titles=TITLES,
        falling=True,
    )
