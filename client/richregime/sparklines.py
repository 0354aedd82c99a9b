"""Curves in a terminal: a row of blocks per point and metric, with its last value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from richregime.formatting import format_point
from richregime.layout import GAP, shorten
from richregime.types import AggregatedMetrics

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40
MIN_WIDTH = 8
"""Fewer blocks show no curve."""
VALUE_WIDTH = 11
"""A blank and the last value: `-1.234e-05` at most."""
MAX_POINTS = 8
HEADING = "mean by epoch"
ONLY_POINT = "the only point"


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
    metrics: AggregatedMetrics,
    points: Mapping[int, Mapping[str, Any]],
    names: Sequence[str],
    width: int,
) -> Table:
    """A row per point with a curve per metric: the mean over the seeds, losses on a log scale.

    Shows the first MAX_POINTS points. width: of the console. Labels keep a third of it, and curves
    get shorter; where they would get too short, each metric has a row of its own.
    """
    series: dict[tuple[int, str], list[float]] = {}
    for item in metrics.items:
        series.setdefault((item.point, item.name), []).append(item.statistic.mean)
    shown = sorted({point for point, _ in series})
    labels = [format_point(points.get(one, {})) or ONLY_POINT for one in shown[:MAX_POINTS]]
    label_width = min(max(map(cell_len, (HEADING, *labels))), max(len(HEADING), width // 3))
    left = width - label_width
    blocks = min(WIDTH, left // max(1, len(names)) - GAP - VALUE_WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column(HEADING, no_wrap=True)
    headings = [name.replace("_", " ") for name in names]
    is_short = blocks < max([MIN_WIDTH, *(cell_len(one) - VALUE_WIDTH for one in headings)])
    if is_short:
        table.add_column("", no_wrap=True)
        metric_width = min(max(map(cell_len, headings)), left // 3)
        blocks = min(WIDTH, left - metric_width - 2 * GAP - VALUE_WIDTH)
    for heading in [""] if is_short else headings:
        table.add_column(heading, no_wrap=True)
    for point, label in zip(shown, labels, strict=False):
        cells = [Text(_cell(name, series.get((point, name), []), blocks)) for name in names]
        first = Text(shorten(label, label_width))
        if not is_short:
            table.add_row(first, *cells)
            continue
        for index, (heading, cell) in enumerate(zip(headings, cells, strict=True)):
            table.add_row("" if index else first, Text(shorten(heading, metric_width)), cell)
    if len(shown) > MAX_POINTS:
        table.caption = f"the first {MAX_POINTS} of {len(shown)} points"
    return table


def _cell(name: str, values: Sequence[float], width: int) -> str:
    """The curve and its last value; the value alone where there is no room for a curve."""
    if not values:
        return ""
    blocks = sparkline(values, width, logarithmic=name.endswith("loss")) if width > 1 else ""
    return f"{blocks} {values[-1]:.4g}".strip()
