"""Metrics for a response: sampled, aggregated over seeds, or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from engine.analysis.stats import bounds_of, summarize
from engine.csv_text import plain_cell
from engine.result import Statistic
from storage.results.metrics import MetricPoint

COLUMNS = ("point", "seed", "name", "step", "value")


def sample(
    rows: Sequence[MetricPoint], max_steps: int | None
) -> tuple[Sequence[MetricPoint], bool]:
    """Keep at most `max_steps` steps of each metric; also returns whether any was left out.

    The steps are evenly spread, with the first and the last, and the same for all seeds.
    """
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
    """(point, name, step, statistic over the seeds with a finite value), sorted."""
    groups: dict[tuple[int, str, int], list[float]] = {}
    for row in rows:
        if row.value is not None:
            groups.setdefault((row.point, row.name, row.step), []).append(row.value)
    return [(*key, summarize(values, bounds_of(key[1]))) for key, values in sorted(groups.items())]


def to_csv(rows: Sequence[MetricPoint]) -> str:
    """The rows as CSV, without times and ids: equal trainings give equal text.

    No cell is a formula (`plain_cell`): an imported metric may have any printable name.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (
            row.point,
            row.seed,
            plain_cell(row.name),
            row.step,
            "" if row.value is None else repr(row.value),
        )
        for row in rows
    )
    return stream.getvalue()
