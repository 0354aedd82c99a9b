"""Curves in a terminal: a row of blocks per point and metric, with its last value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from rich.table import Table

from richregime.formatting import format_point
from richregime.types import AggregatedMetrics

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40
MAX_POINTS = 8


def sparkline(values: Sequence[float], width: int = WIDTH, *, logarithmic: bool = False) -> str:
    """The values as at most `width` blocks between their minimum and maximum; empty for none."""
    if len(values) > width:
        values = [
            values[round(column * (len(values) - 1) / (width - 1))] for column in range(width)
        ]
    if logarithmic and all(value > 0 for value in values):
        values = [log10(value) for value in values]
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return BLOCKS[0] * len(values)
    return "".join(
        BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values
    )


def curves_table(
    metrics: AggregatedMetrics, points: Mapping[int, Mapping[str, Any]], names: Sequence[str]
) -> Table:
    """A row per point with a curve per metric: the mean over the seeds, losses on a log scale.

    Shows the first MAX_POINTS points.
    """
    series: dict[tuple[int, str], list[float]] = {}
    for item in metrics.items:
        series.setdefault((item.point, item.name), []).append(item.statistic.mean)
    table = Table(box=None, pad_edge=False)
    table.add_column("mean by epoch")
    for name in names:
        table.add_column(name.replace("_", " "), no_wrap=True)
    shown = sorted({point for point, _ in series})
    for point in shown[:MAX_POINTS]:
        cells = [_cell(name, series.get((point, name), [])) for name in names]
        table.add_row(format_point(points.get(point, {})) or "the only point", *cells)
    if len(shown) > MAX_POINTS:
        table.caption = f"the first {MAX_POINTS} of {len(shown)} points"
    return table


def _cell(name: str, values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{sparkline(values, logarithmic=name.endswith('loss'))} {values[-1]:.4g}"
