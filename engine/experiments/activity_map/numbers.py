"""The numbers behind each plot of an activity map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from engine.experiments.activity_map.maps import (
    MAPS_FILE,
    MAX_SIDE,
    Array,
    BinnedPicture,
    coarsen,
    group_shape,
    unpack_maps,
)
from engine.experiments.activity_map.result import ActivityMapPointResult
from engine.kind import FinishedPoint, PlotInput

Reduction = Literal["mean", "max"]

MAX_CELLS = 400_000
"""Most cells of one plot in all, about 3 MB of JSON; larger maps are binned more coarsely."""
DECIMALS = 4


def share_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "points"}`: each point's layers, bottom first, with shares of the active set."""
    points = []
    for point, point_result in _finished(source):
        layers = [layer.model_dump(mode="json") for layer in point_result.layers]
        points.append({**_identity(point, point_result), "layers": layers})
    return {"title": source.title, "points": points}


def map_numbers(source: PlotInput, reduction: Reduction) -> dict[str, Any]:
    """`{"title", "reduction", "max_side", "points"}`: each point's maps, one per weight tensor.

    The bottom tensor comes first. A map's `frequency` holds by alpha a matrix of bins: the mean
    over the bin's parameters or the largest of them, averaged over seeds. `bin_shape` is the number
    of parameters that a bin spans; maps are binned to at most `max_side` rows and columns.
    """
    kept = [
        (point, point_result, _read_maps(source, point))
        for point, point_result in _finished(source)
    ]
    kept = [(point, point_result, maps) for point, point_result, maps in kept if maps]
    max_side = _choose_side([maps for _, _, maps in kept])
    points = [
        {
            **_identity(point, point_result),
            "n": len(maps),
            "maps": [
                _map_numbers(name, maps, point_result, reduction, max_side) for name in maps[0][1]
            ],
        }
        for point, point_result, maps in kept
    ]
    return {"title": source.title, "reduction": reduction, "max_side": max_side, "points": points}


_SeedMaps = tuple[int, dict[str, dict[str, BinnedPicture]]]
"""Epochs counted, and the seed's binned pictures by weight tensor and alpha."""


def _finished(source: PlotInput) -> list[tuple[FinishedPoint, ActivityMapPointResult]]:
    finished = [point for point in source.points if point.results]
    pairs = list(zip(finished, source.summary, strict=True))
    return [
        (point, point_result)
        for point, point_result in pairs
        if isinstance(point_result, ActivityMapPointResult)
    ]


def _identity(point: FinishedPoint, point_result: ActivityMapPointResult) -> dict[str, Any]:
    return {
        "values": dict(point.values),
        "outcome": point_result.outcome,
        "n": len(point_result.seeds),
        "parameters": sum(layer.parameters for layer in point_result.layers),
        "test_accuracy": point_result.test_accuracy.model_dump(mode="json"),
        "alphas_percent": list(point_result.alphas_percent),
    }


def _read_maps(source: PlotInput, point: FinishedPoint) -> list[_SeedMaps]:
    """The stored maps of the point's seeds that count at least one epoch."""
    files = [source.read_artifact(point.index, result.seed, MAPS_FILE) for result in point.results]
    maps = [unpack_maps(data) for data in files if data is not None]
    return [(epochs, pictures) for epochs, pictures in maps if epochs]


def _choose_side(points: Sequence[list[_SeedMaps]]) -> int:
    """Most bins per side, halved until all maps together have at most `MAX_CELLS` cells."""
    pictures = [
        picture
        for maps in points
        for by_alpha in maps[0][1].values()
        for picture in by_alpha.values()
    ]
    side = MAX_SIDE
    while side > 1 and sum(_count_cells(picture, side) for picture in pictures) > MAX_CELLS:
        side //= 2
    return side


def _count_cells(picture: BinnedPicture, max_side: int) -> int:
    groups = group_shape(picture, max_side)
    rows, columns = (
        -(-side // group) for side, group in zip(picture.sums.shape, groups, strict=True)
    )
    return int(rows * columns)


def _map_numbers(
    name: str,
    maps: Sequence[_SeedMaps],
    point_result: ActivityMapPointResult,
    reduction: Reduction,
    max_side: int,
) -> dict[str, Any]:
    by_alpha = maps[0][1][name]
    first = coarsen(next(iter(by_alpha.values())), max_side)
    layers = [layer.name for layer in point_result.layers]
    layer = next(
        number for number, prefix in enumerate(layers, start=1) if name.startswith(f"{prefix}.")
    )
    return {
        "parameter": name,
        "layer": layer,
        "weights": first.shape[0] * first.shape[1],
        "shape": list(first.shape),
        "bin_shape": list(first.bin_shape),
        "frequency": {
            alpha: _average(
                [(epochs, coarsen(by[name][alpha], max_side)) for epochs, by in maps], reduction
            )
            for alpha in by_alpha
        },
    }


def _average(
    pictures: Sequence[tuple[int, BinnedPicture]], reduction: Reduction
) -> list[list[float]]:
    """Mean frequency of each bin; every seed has the same weight, whatever its epochs."""
    total: Array = sum(
        (picture.sums / picture.sizes() if reduction == "mean" else picture.maxima) / epochs
        for epochs, picture in pictures
    )  # type: ignore[assignment]
    rows: list[list[float]] = (total / len(pictures)).round(DECIMALS).tolist()
    return rows
