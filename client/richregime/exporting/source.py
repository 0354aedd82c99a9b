"""What both clients fetch of an experiment before it is written as files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from richregime.answers import Metrics, Result
from schemas.resources import Experiment, Run


@dataclass(frozen=True, slots=True)
class ExportSource:
    """An experiment and what it has logged so far; its result once it has ended.

    Runs are asked for last, so that every value and every point of the result has its own.
    """

    experiment: Experiment
    runs: Sequence[Run]
    metrics: Metrics
    """Each value, not aggregated."""
    result: Result | None

    def points(self) -> dict[int, dict[str, Any]]:
        """The swept values of each point that has a run, by its index; a form that is swept whole is one value a field."""
        return {run.point.index: dict(flatten(run.point.values)) for run in self.runs}

    def runs_by_cell(self) -> dict[tuple[int, int], Run]:
        """By point and seed."""
        return {(run.point.index, seed): run for run in self.runs for seed in run.seeds}

    def find_point(self, values: Mapping[str, Any]) -> int:
        """The index of the point that has these swept values."""
        wanted = json.dumps(values, sort_keys=True)
        return next(
            run.point.index
            for run in self.runs
            if json.dumps(run.point.values, sort_keys=True) == wanted
        )


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, scalar) of each field of a spec; a list stands as JSON."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flatten(inner, f"{path}.{name}" if path else name)
    else:
        yield path, json.dumps(value) if isinstance(value, list | tuple) else value
