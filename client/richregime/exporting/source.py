"""The data of an experiment that an export writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from richregime.types import Experiment, Metrics, Result, Run


@dataclass(frozen=True, slots=True)
class ExportSource:
    """An experiment, its metrics, its runs, and its result if it has ended.

    Fetch the runs last, so that every metric and every point of the result has its run.
    """

    experiment: Experiment
    runs: Sequence[Run]
    metrics: Metrics
    """Every value, not aggregated."""
    result: Result | None

    def points(self) -> dict[int, dict[str, Any]]:
        """The swept values of each point that has a run, by index; objects are flattened."""
        return {run.point.index: dict(flatten(run.point.values)) for run in self.runs}

    def runs_by_cell(self) -> dict[tuple[int, int], Run]:
        """The runs by point and seed."""
        return {(run.point.index, seed): run for run in self.runs for seed in run.seeds}

    def spec_of(self, run: Run) -> dict[str, Any]:
        """The spec of a run by dotted path, with the swept values of its point."""
        swept = run.point.values
        fixed = {
            path: value
            for path, value in flatten(self.experiment.spec)
            if not any(path == axis or path.startswith(f"{axis}.") for axis in swept)
        }
        return {**fixed, **dict(flatten(swept))}

    def find_point(self, values: Mapping[str, Any]) -> int:
        """The index of the point with these swept values."""
        wanted = json.dumps(values, sort_keys=True)
        return next(
            run.point.index
            for run in self.runs
            if json.dumps(run.point.values, sort_keys=True) == wanted
        )


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, scalar) of each field of a spec; a list becomes JSON text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flatten(inner, f"{path}.{name}" if path else name)
    else:
        yield path, json.dumps(value) if isinstance(value, list | tuple) else value
