"""The plots of a kind with those of every kind: probes and sweeps. Imports matplotlib to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.kind import PlotInput, PlotProcedures
from engine.probes.plot import PROBE_PLOT, probe_numbers
from engine.sweep_plots import SWEEP_NAMES, Answer, sweep_numbers


class KindPlots:
    """`PlotProcedures` of both."""

    def __init__(self, own: PlotProcedures, answer: Answer) -> None:
        self._own, self._answer = own, answer

    def numbers(self, name: str, source: PlotInput, quantity: str | None = None) -> dict[str, Any]:
        """The numbers of the plot `name`.

        quantity: of a plot of the sweep, the name of a column of the answer; by default the first
        one. Raises InvalidSpec where there is no such column.
        """
        if name in SWEEP_NAMES:
            return sweep_numbers(name, source, self._answer, quantity)
        if name == PROBE_PLOT.name:
            return probe_numbers(source)
        return self._own.numbers(name, source)

    def draw(self, name: str, numbers: Mapping[str, Any], options: Any) -> Any:
        """A matplotlib Figure of these numbers."""
        if name in SWEEP_NAMES:
            from engine.drawing.sweep import draw_sweep

            return draw_sweep(name, numbers, options)
        if name == PROBE_PLOT.name:
            from engine.drawing.probes import draw_probes

            return draw_probes(numbers, options)
        return self._own.draw(name, numbers, options)
