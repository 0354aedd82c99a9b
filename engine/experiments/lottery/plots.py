"""The plot of the lottery ticket: accuracy against the share of the weights that is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.share_curves import draw_share_curves
from engine.experiments.lottery.result import LotteryPointResult
from engine.kind import PlotInput
from engine.plotting import PlotOptions

TITLES = {
    "ticket": "rewound (ticket)",
    "fresh": "fresh draw, same mask",
    "random": "random mask",
}


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """Accuracy by series and round; the kind's README lists the fields."""
    points = []
    for result in source.summary:
        assert isinstance(result, LotteryPointResult)
        points.append(
            {
                "values": dict(result.point),
                "n": result.test_accuracy.n,
                "outcome": result.outcome,
                "reference": result.test_accuracy.mean,
                "curves": [
                    {
                        "series": curve.series,
                        "percent": list(curve.left_percent),
                        "mean": [one.mean for one in curve.test_accuracy],
                        "standard_error": [one.standard_error for one in curve.test_accuracy],
                    }
                    for curve in result.curves
                ],
            }
        )
    return {"title": source.title, "points": points}


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
