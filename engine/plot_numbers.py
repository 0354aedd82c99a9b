"""The one way from stored results to the numbers of a plot: its points chosen and named.

Imports neither torch nor matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import InvalidSpec
from engine.kind import FinishedPoint, Kind, PlotInfo, PlotInput
from engine.labels import label_points
from engine.point_choice import (
    CHOICES,
    MAX_CHOSEN,
    Choice,
    ChosenPoints,
    choose_few,
)
from engine.result import PointResult
from engine.sweep_plots import place_results, read_quantity

PointChoice = Choice | Sequence[int]
"""What a reader asks for: by the value of the quantity, or the indices of points."""


class ChosenInput:
    """`PlotInput` with only some of the points of another one."""

    def __init__(self, source: PlotInput, indices: Sequence[int]) -> None:
        self._source, self._chosen = source, frozenset(indices)
        self.title, self.values = source.title, source.values

    @property
    def specs(self) -> Sequence[Mapping[str, Any]]:
        return self._source.specs

    @property
    def point_results(self) -> Sequence[Mapping[str, Any]]:
        return self._source.point_results

    @property
    def points(self) -> Sequence[FinishedPoint]:
        return [point for point in self._source.points if point.index in self._chosen]

    @property
    def summary(self) -> Sequence[PointResult]:
        finished = [point for point in self._source.points if point.results]
        return [
            result
            for point, result in zip(finished, self._source.summary, strict=True)
            if point.index in self._chosen
        ]

    def choose(self, indices: Sequence[int]) -> PlotInput:
        return ChosenInput(self._source, indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        found = self._source.read_metric(name)
        return {index: series for index, series in found.items() if index in self._chosen}

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        return self._source.read_artifact(point_index, seed, name)


def plot_numbers(
    kind: Kind,
    name: str,
    source: PlotInput,
    *,
    quantity: str | None = None,
    points: PointChoice | None = None,
    for_picture: bool = False,
) -> dict[str, Any]:
    """The numbers of the plot `name`, where every point has the label that it has everywhere.

    quantity: a column of the answer, by default the first one: what a plot of the sweep shows, and
    what ranks the points of another one. points: the points of a plot that can show some; by
    default all, and for a picture of many points a chosen few. Raises InvalidSpec for a quantity or
    points that there are not.
    """
    plot = next(one for one in kind.plots if one.name == name)
    plots: Any = kind.load_plots()
    if plot.is_of_sweep:
        _forbid_points(plot, points)
        return dict(plots.numbers(name, source, quantity))
    chosen = _choose(kind, plot, source, quantity, points, for_picture)
    if chosen is not None:
        source = source.choose(chosen.places)
    numbers: dict[str, Any] = plots.numbers(name, source)
    if chosen is not None:
        numbers |= {"num_points": len(source.values), "chosen": chosen.reason}
    return _with_labels(numbers, source)


def read_points(text: str, num_points: int) -> PointChoice:
    """From the text of a request: `best`, `worst`, `spread`, or indices with commas between.

    Raises InvalidSpec, at the field `points` of the query, for anything else.
    """
    if text in CHOICES:
        return text
    indices = [int(part) if part.isdecimal() else -1 for part in text.split(",")]
    if not all(0 <= index < num_points for index in indices) or len(indices) > MAX_CHOSEN:
        detail = (
            f"{text[:80]!r} is not {', '.join(CHOICES)}, or up to {MAX_CHOSEN} indices of points "
            f"from 0 to {num_points - 1} with commas between"
        )
        raise InvalidSpec.single("#/query/points", "unknown-points", detail)
    return sorted(set(indices))


def _forbid_points(plot: PlotInfo, points: PointChoice | None) -> None:
    if points is not None:
        detail = f"the plot {plot.name} shows all points; leave `points` out"
        raise InvalidSpec.single("#/query/points", "not-applicable", detail)


def _choose(
    kind: Kind,
    plot: PlotInfo,
    source: PlotInput,
    quantity: str | None,
    points: PointChoice | None,
    for_picture: bool,
) -> ChosenPoints | None:
    """The points to show; None for all of them."""
    if plot.draws_all:
        _forbid_points(plot, points)
        return None
    if points is not None and not isinstance(points, str):
        return ChosenPoints(points, "")
    most = plot.most_points
    if points is None and not (for_picture and most is not None and len(source.values) > most):
        return None
    column, found = read_quantity(source, kind.read_answer, quantity)
    if column is None:
        first = place_results(source.values, source.point_results)
        return choose_few([None] * len(source.values), None) if not first else None
    scores: list[float | None] = [None] * len(source.values)
    for one in found:
        assert one.column.statistic is not None
        scores[one.index] = one.column.statistic.mean
    chosen = choose_few(scores, column.better, points)
    return ChosenPoints(chosen.places, f"{chosen.reason} by {column.title}")


def _with_labels(numbers: dict[str, Any], source: PlotInput) -> dict[str, Any]:
    """The numbers with the label of each point, as among all points of the experiment."""
    labels = dict(zip(map(repr, source.values), label_points(source.values), strict=True))
    points = [
        {**point, "label": label}
        if "values" in point and (label := labels.get(repr(point["values"]))) is not None
        else point
        for point in numbers.get("points", ())
    ]
    return {**numbers, "points": points}
