"""Names of swept points for legends, ticks and tables. Imports neither torch nor matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_LETTERS = 100
"""A longer label is shortened in its middle."""
NAME = "name"
"""The field that says which variant an object is, such as `adam` of an optimizer."""
_ABSENT = object()


def label_points(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for each point, from its swept values: `width 100, rho 0.1`.

    Equal values have equal labels, and different values different ones. Labels name only what
    differs between the points, with as many digits as tell numbers apart; of an object its `name`,
    the value of a field of this name, and the fields that differ between objects of this name. A
    single point is named by all its values; without a sweep its label is empty. The middle of a
    label longer than MAX_LETTERS is left out; where that makes labels equal, they end in `#1`, `#2`
    and so on.
    """
    distinct = {repr(values): values for values in points}
    labels = dict(zip(distinct, _label_distinct(list(distinct.values())), strict=True))
    return [labels[repr(values)] for values in points]


def name_points(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The label of each point of a plot's numbers; made from their `values` where it is missing."""
    if all("label" in point for point in points):
        return [str(point["label"]) for point in points]
    return label_points([point["values"] for point in points])


def label_axes(points: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The words of `label_points` as columns: for each swept field that differs, its name in labels
    and each point's value."""
    return {field.name: field.texts for field in list_swept_fields(points)}


@dataclass(frozen=True, slots=True)
class SweptField:
    """A swept field that differs between points."""

    path: str
    name: str
    """In labels"""
    texts: list[str]
    """Each point's value in labels; empty where the point does not have the field."""


def list_swept_fields(points: Sequence[Mapping[str, Any]]) -> list[SweptField]:
    """The fields that labels name, in the order of the sweep."""
    names = _short_names(points)
    return [
        SweptField(axis, names[axis], [text for _, text in _differing_parts(points, axis)])
        for axis in _differing_axes(points)
    ]


def label_fields(points: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[str]:
    """As `label_points`, by these fields alone; equal labels are not told apart."""
    parts = [
        [" ".join(filter(None, part)) for part in _differing_parts(points, path)] for path in paths
    ]
    if not parts:
        return [""] * len(points)
    return [_shorten(", ".join(filter(None, texts))) for texts in zip(*parts, strict=True)]


def _label_distinct(points: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = [
        [" ".join(filter(None, part)) for part in _differing_parts(points, axis)]
        for axis in _differing_axes(points)
    ]
    labels = [_shorten(", ".join(filter(None, texts))) for texts in zip(*parts, strict=True)]
    labels = labels or [""] * len(points)
    counts, used = Counter(labels), Counter[str]()
    for place, label in enumerate(labels):
        if label and counts[label] > 1:
            used[label] += 1
            labels[place] = f"{label} #{used[label]}"
    return labels


def format_number(number: float) -> str:
    """The shortest digits that give the number back: `0.1`, `1e-05`, `100` for 100.0."""
    return repr(number).removesuffix(".0")


def format_leaf(value: Any) -> str:
    """A value without fields of its own; integers with a comma at thousands."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(format_value, value))}]"
    return "null" if value is None else str(value)


def _differing_axes(points: Sequence[Mapping[str, Any]]) -> list[str]:
    axes = dict.fromkeys(axis for values in points for axis in values)
    return [axis for axis in axes if _differs([values.get(axis, _ABSENT) for values in points])]


def _differs(values: Sequence[Any]) -> bool:
    """Whether the values differ, in type as well; a single value counts as differing."""
    return len(values) == 1 or len({_identity(value) for value in values}) > 1


def _identity(value: Any) -> str:
    return "" if value is _ABSENT else repr(value)


def _differing_parts(points: Sequence[Mapping[str, Any]], axis: str) -> list[tuple[str, str]]:
    """Each point's part of the label for one swept field: (its name, the value's text).

    The name is empty where the text names fields of its own, both are where it is absent.
    """
    values = [values.get(axis, _ABSENT) for values in points]
    name = _short_names(points)[axis]
    if not all(isinstance(value, Mapping) for value in values if value is not _ABSENT):
        return [("", "") if value is _ABSENT else (name, format_value(value)) for value in values]
    leaves = [{} if value is _ABSENT else dict(_leaves(value)) for value in values]
    paths = dict.fromkeys(path for one in leaves for path in one)
    has_variants = _differs([one.get(NAME, _ABSENT) for one in leaves])
    own = [
        [
            path
            for path in paths
            if path in one and path != NAME and _differs_within(leaves, one, path)
        ]
        for one in leaves
    ]
    if not has_variants and all(own):
        return [
            ("", ", ".join(f"{path} {format_leaf(one[path])}" for path in shown))
            for one, shown in zip(leaves, own, strict=True)
        ]
    return [
        ("", "") if value is _ABSENT else (name, _describe(one, shown))
        for value, one, shown in zip(values, leaves, own, strict=True)
    ]


def _differs_within(leaves: Sequence[Mapping[str, Any]], one: Mapping[str, Any], path: str) -> bool:
    """Whether the field differs between the objects of the same variant as `one`."""
    same = [other for other in leaves if other.get(NAME) == one.get(NAME)]
    others_known = len(same) > 1 or len(leaves) == 1
    return others_known and _differs([other.get(path, _ABSENT) for other in same])


def _describe(leaves: Mapping[str, Any], shown: Sequence[str]) -> str:
    """The variant's name, its value if it has a field of this name, and the fields to show.

    For example `step 20` for `{"name": "step", "step": 20}`.
    """
    name = str(leaves.get(NAME, ""))
    text = f"{name} {format_leaf(leaves[name])}" if name in leaves else name
    rest = ", ".join(f"{path}={format_leaf(leaves[path])}" for path in shown if path != name)
    return f"{text} ({rest})" if rest else text


def format_value(value: Any) -> str:
    """A value of a spec: an object as its name with its other fields in parentheses."""
    if isinstance(value, Mapping):
        leaves = dict(_leaves(value))
        return _describe(leaves, [path for path in leaves if path != NAME])
    return format_leaf(value)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        path = f"{prefix}{name}"
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path, inner


def _short_names(points: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The last part of each path; the whole path where two paths share their last part."""
    axes = dict.fromkeys(axis for values in points for axis in values)
    last = {axis: axis.rsplit(".", 1)[-1] for axis in axes}
    counts = Counter(last.values())
    return {axis: axis if counts[name] > 1 else name for axis, name in last.items()}


def _shorten(label: str) -> str:
    if len(label) <= MAX_LETTERS:
        return label
    half = MAX_LETTERS // 2
    return f"{label[:half].rstrip()} … {label[-half:].lstrip()}"
