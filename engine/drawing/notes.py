"""What plots say of seeds and of points that did not train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.labels import name_points


def describe_seeds(counts: Iterable[int], spread: str = "") -> str:
    """The note on seeds: `one seed`, or `mean of 1–5 seeds`; empty where nothing is counted.

    counts: the seeds of every mean that is drawn. spread: what bars or bands show.
    """
    known = set(counts) - {0}
    if not known:
        return ""
    if known == {1}:
        return "one seed"
    extremes = "–".join(map(str, dict.fromkeys((min(known), max(known)))))
    return ", ".join(filter(None, (f"mean of {extremes} seeds", spread)))


def name_with_marks(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name of each point, `net` without a sweep, with † where it did not train."""
    return [
        (name or "net") + mark_of(point, " †")
        for name, point in zip(name_points(points), points, strict=True)
    ]


def mark_of(point: Mapping[str, Any], mark: str = "†") -> str:
    return "" if point["outcome"] == "trained" else mark


def describe_marks(points: Sequence[Mapping[str, Any]]) -> str:
    """The note on †; empty where every point trained."""
    return "; † not trained" if any(map(mark_of, points)) else ""
