"""Metrics as they are answered: thinned out, aggregated over seeds, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from engine.analysis.stats import summarize
from engine.result import Statistic
from storage.results.metrics import MetricPoint

COLUMNS = ("point", "seed", "name", "step", "value")


def sample(
    rows: Sequence[MetricPoint], max_steps: int | None
) -> tuple[Sequence[MetricPoint], bool]:
    """At most `max_steps` evenly spread steps of each metric, the first and the last among them, the same for all
    seeds; and whether any was left out."""
    if max_steps is None:
        return rows, False
    steps: dict[str, set[int]] = {}
    for row in rows:
        steps.setdefault(row.name, set()).add(row.step)
    kept = {name: _spread(sorted(found), max_steps) for name, found in steps.items()}
    sampled = any(len(kept[name]) < len(found) for name, found in steps.items())
    return [row for row in rows if row.step in kept[row.name]], sampled


def _spread(steps: Sequence[int], count: int) -> set[int]:
    if len(steps) <= count:
        return set(steps)
    return {steps[round(index * (len(steps) - 1) / (count - 1))] for index in range(count)}


def aggregate(rows: Sequence[MetricPoint]) -> list[tuple[int, str, int, Statistic]]:
    """(point, name, step, statistic over the seeds that have a finite value there), in this order."""
    groups: dict[tuple[int, str, int], list[float]] = {}
    for row in rows:
        if row.value is not None:
            groups.setdefault((row.point, row.name, row.step), []).append(row.value)
    return [(*key, summarize(values)) for key, values in sorted(groups.items())]


def to_csv(rows: Sequence[MetricPoint]) -> str:
    """Values only, no times or ids: equal trainings give equal text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (row.point, row.seed, row.name, row.step, "" if row.value is None else repr(row.value))
        for row in rows
    )
    return stream.getvalue()
