"""Draws the plots of every sweep from the numbers of `engine.sweep_plots`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.sweep_lines import draw_lines
from engine.drawing.sweep_map import draw_map
from engine.drawing.sweep_parallel import draw_parallel
from engine.drawing.sweep_rows import draw_ranking
from engine.plotting import PlotOptions, draw_message, drawing


def draw_sweep(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        if name == "sweep_map" and "y" in numbers:
            return draw_map(numbers, options)
        if name == "sweep_parallel" and len(numbers["fields"]) > 1:
            return draw_parallel(numbers, options)
        if name != "sweep_quantity" or "x" not in numbers:
            return draw_message(options, "The experiment sweeps too few fields for this plot")
        fields = {one["path"]: one for one in numbers["fields"]}
        if fields[numbers["x"]]["is_number"]:
            return draw_lines(numbers, options)
        return draw_ranking(numbers, options)
