"""What the plot of probes shows: quantities by epoch, and by layer at the end. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.analysis.stats import summarize_series, worst_outcome
from engine.kind import PlotInfo, PlotInput
from engine.probes.quantities import QUANTITIES, read_name
from engine.result import PointResult


def probe_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "quantities", "points"}`.

    `quantities` holds name, title and unit of those that were measured. A point holds `values` and
    `outcome`; `curves`: by name the lists epoch, mean, standard error and n, in stored units; and
    `layers`: by name the lists layer (0 the bottom), mean, standard error and n at the last
    measured epoch of the seeds that have finished.
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
            layers = _list_layers(point.values, source.summary)
            outcome = worst_outcome(result.outcome for result in point.results)
            points.append(
                {
                    "values": dict(point.values),
                    "outcome": outcome,
                    "curves": measured,
                    "layers": layers,
                }
            )
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


def _list_layers(
    values: Mapping[str, Any], summary: Sequence[PointResult]
) -> dict[str, dict[str, list[Any]]]:
    """Of the point with these swept values; empty where no seed has finished."""
    found: dict[str, dict[str, list[Any]]] = {}
    for result in summary:
        if result.point != dict(values):
            continue
        for metric, statistic in result.probes.items():
            read = read_name(metric)
            if read is None or read[1] is None:
                continue
            lists = found.setdefault(
                read[0].name, {"layer": [], "mean": [], "standard_error": [], "n": []}
            )
            lists["layer"].append(read[1])
            for name in ("mean", "standard_error", "n"):
                lists[name].append(getattr(statistic, name))
    return found


def _needs_probes(source: PlotInput) -> str | None:
    if any(spec.get("probes") for spec in source.specs):
        return None
    return 'the experiment measures no regime; `"probes": {}` in the spec does'


PROBE_PLOT = PlotInfo(
    "probes",
    "Regime",
    "How far the net has moved from its start, by epoch, and by layer after the last one: tangent "
    "kernel, linear model, parameters and features; mean and one standard error over seeds.",
    find_obstacle=_needs_probes,
)
