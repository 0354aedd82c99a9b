"""The numbers of the plots of linear mode connectivity, from stored results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.experiments.connectivity.result import (
    STABLE_BELOW,
    ConnectivityPointResult,
    PointSplit,
)
from engine.kind import PlotInput
from engine.result import Statistic


def instability_numbers(source: PlotInput) -> dict[str, Any]:
    """Of each point, the instability on both sets by step k."""
    return {
        "title": source.title,
        "stable_below": STABLE_BELOW,
        "points": [
            {
                **_describe(point),
                "stable_from_step": point.stable_from_step,
                "steps": [split.step for split in point.splits],
                "test": _series(split.instability for split in point.splits),
                "train": _series(split.train_instability for split in point.splits),
            }
            for point in _list_results(source)
        ],
    }


def line_numbers(source: PlotInput) -> dict[str, Any]:
    """Of each point and split, the errors along the line: `share` is that of the other child."""
    return {
        "title": source.title,
        "points": [
            {**_describe(point), "splits": [_line(split) for split in point.splits]}
            for point in _list_results(source)
        ],
    }


def _line(split: PointSplit) -> dict[str, Any]:
    last = len(split.test_error) - 1
    return {
        "step": split.step,
        "share": [place / last for place in range(last + 1)],
        "test": _series(split.test_error),
        "train": _series(split.train_error),
    }


def layer_numbers(source: PlotInput) -> dict[str, Any]:
    """Of each point measured by layer, the instability of each layer by step k."""
    return {
        "title": source.title,
        "points": [
            {
                **_describe(point),
                "steps": [split.step for split in point.splits],
                "layers": [
                    {
                        "name": layers[0].name,
                        **_series(layer.instability for layer in layers),
                    }
                    for layers in zip(*(split.layers for split in point.splits), strict=True)
                ],
            }
            for point in _list_results(source)
            if all(split.layers for split in point.splits)
        ],
    }


def _list_results(source: PlotInput) -> Sequence[ConnectivityPointResult]:
    """The points with a split whose children are finite."""
    found = []
    for point in source.summary:
        assert isinstance(point, ConnectivityPointResult)
        if point.splits:
            found.append(point)
    return found


def _describe(point: ConnectivityPointResult) -> dict[str, Any]:
    return {"values": point.point, "n": point.test_accuracy.n, "outcome": point.outcome}


def _series(statistics: Iterable[Statistic]) -> dict[str, Any]:
    found = list(statistics)
    return {
        "mean": [one.mean for one in found],
        "standard_error": [one.standard_error for one in found],
        "n": [one.n for one in found],
    }
