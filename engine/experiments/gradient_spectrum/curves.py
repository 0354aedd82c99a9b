"""The curves of a gradient spectrum: each seed's as stored, and their statistics over seeds.

Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.analysis.stats import summarize, worst_outcome
from engine.experiments.gradient_spectrum.result import as_spectrum
from engine.kind import FinishedPoint, PlotInput

CURVES_FILE = "curves.json"
QUANTITIES = ("magnitudes", "share_of_norm")

Curve = Mapping[str, Any]
"""One seed at one step: `step`, `p`, and the lists `ranks`, `magnitudes`, `share_of_norm`."""


def magnitudes_file(step: int) -> str:
    """The artifact that holds the array `magnitudes`: float32 [p], descending."""
    return f"magnitudes_step{step}.npz"


def spectrum_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "points": [{"values", "n", "p", "outcome", "steps": [...]}]}`.

    A step holds `step`, `n`, `ranks` and, at those ranks, mean and standard error over seeds of
    `magnitudes` and of `share_of_norm` (held by the components up to that rank). Its `elbow` is the
    rank and magnitude nearest to the corner of the curve.
    """
    points = []
    for point in source.points:
        steps = _read_steps(source, point)
        if steps:
            points.append(
                {
                    "values": dict(point.values),
                    "n": len(point.results),
                    "p": steps[0]["p"],
                    "outcome": worst_outcome(result.outcome for result in point.results),
                    "steps": steps,
                }
            )
    return {"title": source.title, "points": points}


def _read_steps(source: PlotInput, point: FinishedPoint) -> list[dict[str, Any]]:
    by_step: dict[int, list[Curve]] = {}
    for result in point.results:
        stored = source.read_artifact(point.index, as_spectrum(result).seed, CURVES_FILE)
        for curve in json.loads(stored)["steps"] if stored is not None else ():
            by_step.setdefault(curve["step"], []).append(curve)
    return [_merge(curves) for _, curves in sorted(by_step.items())]


def _merge(curves: Sequence[Curve]) -> dict[str, Any]:
    """One step over seeds; equal nets have equal ranks."""
    first = curves[0]
    merged = {quantity: _series([curve[quantity] for curve in curves]) for quantity in QUANTITIES}
    return {
        "step": first["step"],
        "p": first["p"],
        "n": len(curves),
        "ranks": first["ranks"],
        **merged,
        "elbow": _find_elbow(first["ranks"], merged["magnitudes"]["mean"]),
    }


def _series(rows: Sequence[Sequence[float]]) -> dict[str, list[Any]]:
    statistics = [summarize(values) for values in zip(*rows, strict=True)]
    return {
        "mean": [statistic.mean for statistic in statistics],
        "standard_error": [statistic.standard_error for statistic in statistics],
    }


def _find_elbow(ranks: Sequence[int], magnitudes: Sequence[float]) -> dict[str, float]:
    """The point with the least rank / p + magnitude / largest, which is a skewed curve's corner."""
    largest = magnitudes[0] or 1.0
    place = min(range(len(ranks)), key=lambda at: ranks[at] / ranks[-1] + magnitudes[at] / largest)
    return {"rank": ranks[place], "magnitude": magnitudes[place]}
