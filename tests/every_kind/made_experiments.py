"""Experiments of any kind with made-up results: the example's, with every number replaced."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint, Kind, PlotInput
from engine.local import LocalExperiment
from engine.plot_numbers import ChosenInput
from engine.result import PointResult
from engine.spec import ExperimentSpec

Change = Callable[[float], float]
COUNTED = ("active", "tied", "zeros")
"""Fields that hold counts rather than shapes; they become zero where every number does."""


@dataclass
class MadeExperiment:
    """Implements `PlotInput`; every seed and point repeats one seed of the example."""

    kind: Kind
    example: LocalExperiment
    title: str = "made up"
    points: Sequence[FinishedPoint] = ()
    change: Change = float
    metrics: Callable[[float | None], float | None] | None = lambda value: value
    """Changes every metric; None for an experiment without metrics."""
    stored: dict[str, bytes | None] = field(default_factory=dict)

    @cached_property
    def summary(self) -> Sequence[PointResult]:
        return self.kind.summarize(self.points)

    @property
    def values(self) -> Sequence[Mapping[str, Any]]:
        return [point.values for point in self.points]

    @property
    def specs(self) -> Sequence[Mapping[str, Any]]:
        return [point.spec.model_dump(mode="json") for point in self.points]

    @cached_property
    def point_results(self) -> Sequence[Mapping[str, Any]]:
        return [result.model_dump(mode="json") for result in self.summary]

    def choose(self, indices: Sequence[int]) -> PlotInput:
        return ChosenInput(self, indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        if self.metrics is None:
            return {}
        by_seed = self.example.read_metric(name)[0]
        series = [(step, self.metrics(value)) for step, value in next(iter(by_seed.values()), ())]
        return {
            point.index: {result.seed: series for result in point.results} for point in self.points
        }

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        if name not in self.stored:
            read = self.example.read_artifact(0, self.example.points[0].results[0].seed, name)
            self.stored[name] = None if read is None else change_file(name, read, self.change)
        return self.stored[name]


def make_experiment(
    kind: Kind,
    example: LocalExperiment,
    values: Sequence[Mapping[str, Any]] = ({},),
    *,
    specs: Sequence[ExperimentSpec] | None = None,
    seeds: int = 2,
    change: Change = float,
    outcome: str = "trained",
    **fields: Any,
) -> MadeExperiment:
    """One point for each of `values`, with `seeds` equal results that `change` has altered.

    specs: of the points; by default the values are set in the example's spec where it allows them.
    """
    first = example.points[0]
    given = change_numbers(first.results[0].model_dump(mode="json"), change) | {"outcome": outcome}
    results = [kind.seed_result.model_validate(given | {"seed": seed}) for seed in range(seeds)]
    points = [
        FinishedPoint(
            index, dict(one), specs[index] if specs else set_fields(first.spec, one), results
        )
        for index, one in enumerate(values)
    ]
    return MadeExperiment(kind, example, points=points, change=change, **fields)


def set_fields(spec: ExperimentSpec, values: Mapping[str, Any]) -> ExperimentSpec:
    data = spec.model_dump(mode="json")
    for path, value in values.items():
        *parts, last = path.split(".")
        here = data
        for part in parts:
            here = here[part]
        here[last] = value
    return parse_spec(data)


def change_numbers(value: Any, change: Change, name: str = "") -> Any:
    """Changes the measured numbers; fractions and alphas are inputs and stay."""
    if isinstance(value, Mapping):
        return {
            key: change_numbers(inner, change, name if name in COUNTED else key)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [change_numbers(inner, change, name) for inner in value]
    if isinstance(value, float) and not name.endswith("_percent"):
        return change(value)
    if isinstance(value, int) and name in COUNTED and change(1.0) == 0.0:
        return 0
    return value


def change_file(name: str, data: bytes, change: Change) -> bytes:
    if name.endswith(".json"):
        return json.dumps(change_numbers(json.loads(data), change)).encode()
    if not name.endswith(".npz") or change(1.0) != 0.0:
        return data
    stream = io.BytesIO()
    with np.load(io.BytesIO(data)) as arrays:
        np.savez_compressed(stream, **{key: np.zeros_like(arrays[key]) for key in arrays})
    return stream.getvalue()
