"""What the plot of probes shows: every quantity of the whole net by epoch. Imports no torch."""

from __future__ import annotations

from typing import Any

from engine.analysis.stats import summarize_series
from engine.kind import PlotInfo, PlotInput
from engine.probes.quantities import QUANTITIES


def probe_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "quantities", "points"}`.

    `quantities` holds name, title and unit of those that were measured. A point holds `values` and
    `curves`: by name the lists epoch, mean, standard error and n, in stored units.
    """
    series = {one.name: source.read_metric(one.name) for one in QUANTITIES}
    points = []
    for point in source.points:
        curves = {
            name: summarize_series(by_seed)
            for name, by_point in series.items()
            if (by_seed := by_point.get(point.index))
        }
        measured = {name: curve for name, curve in curves.items() if curve["epoch"]}
        if measured:
            points.append({"values": dict(point.values), "curves": measured})
    names = {name for point in points for name in point["curves"]}
    return {
        "title": source.title,
        "quantities": [
            {"name": one.name, "title": one.title, "unit": one.unit}
            for one in QUANTITIES
            if one.name in names
        ],
        "points": points,
    }


def _needs_probes(source: PlotInput) -> str | None:
    if any(spec.get("probes") for spec in source.specs):
        return None
    return 'the experiment measures no regime; `"probes": {}` in the spec does'


PROBE_PLOT = PlotInfo(
    "probes",
    "Regime",
    "How far the net has moved from its start, by epoch: tangent kernel, linear model, parameters "
    "and features; mean and one standard error over seeds.",
    find_obstacle=_needs_probes,
)
