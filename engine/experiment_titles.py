"""A title for an experiment without a name, from what differs. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from engine.experiments.registry import kinds
from engine.labels import format_leaf
from engine.spec import ExperimentSpec

MAX_PARTS = 4
"""Fields that a title names; the others are counted"""
MAX_LETTERS = 100
_ALONE = ("name", "architecture")
"""Fields whose value stands for itself"""
_ABSENT = object()
_NUMBERS = frozenset((int, float))


def title_of(
    name: str | None, kind: str, spec: Mapping[str, Any], sweep: Mapping[str, Sequence[Any]]
) -> str:
    """The name that an experiment was given; without one, `make_title`."""
    return name or make_title(kind, spec, sweep)


def make_title(kind: str, spec: Mapping[str, Any], sweep: Mapping[str, Sequence[Any]]) -> str:
    """`train, width 10 to 100, epochs 5`: the kind, what is swept, what is not the default.

    spec: with all defaults. A kind that is not installed is named alone with its swept fields.
    """
    swept = [f"{_last(path)} {_describe_values(values)}" for path, values in sweep.items()]
    lasts = Counter(map(_last, _fields(spec)))
    changed = [
        _describe(path if lasts[_last(path)] > 1 else _last(path), value)
        for path, value in list_changed(kind, spec).items()
        if not any(path == axis or path.startswith(f"{axis}.") for axis in sweep)
    ]
    parts = [*swept, *changed]
    more = len(parts) - MAX_PARTS
    shown = parts[:MAX_PARTS] + ([f"{more} more"] if more > 0 else [])
    title = ", ".join([kind, *shown])
    return title if len(title) <= MAX_LETTERS else f"{title[: MAX_LETTERS - 1]}…"


def list_changed(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not the kind's default, by their paths; none of an unknown kind.

    spec: with all defaults.
    """
    known = kinds().get(kind)
    if known is None:
        return {}
    defaults = _fields(_defaults_of(known.spec, kind, spec))
    return {
        path: value for path, value in _fields(spec).items() if defaults.get(path, _ABSENT) != value
    }


def list_different(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths of the fields in which specs differ, in the order of their first appearance."""
    found = [_fields(spec) for spec in specs]
    paths = dict.fromkeys(path for fields in found for path in fields)
    return [
        path
        for path in paths
        if any(one.get(path, _ABSENT) != found[0].get(path, _ABSENT) for one in found)
    ]


def _defaults_of(model: type[ExperimentSpec], kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults, with those of the variants that the spec has; their names are told."""
    defaults: dict[str, Any] = model.model_validate({"kind": kind}).model_dump(mode="json")
    for name, part in spec.items():
        tag = part.get("name") if isinstance(part, Mapping) else None
        default = defaults.get(name)
        if tag is None or name == "data" or not isinstance(default, Mapping):
            continue
        if tag == default.get("name"):
            continue
        try:
            of_variant = model.model_validate({"kind": kind, name: {"name": tag}})
            defaults[name] = of_variant.model_dump(mode="json")[name]
        except ValidationError:
            defaults[name] = {}  # a variant with required fields: all of them are told
        for told in _ALONE:
            defaults[name].pop(told, None)
    return defaults


def _describe(name: str, value: Any) -> str:
    return format_leaf(value) if _last(name) in _ALONE else f"{name} {format_leaf(value)}"


def _describe_values(values: Sequence[Any]) -> str:
    # A list of experiments has a title for each, and a sweep may have thousands of numbers.
    if len(values) > 2 and {type(one) for one in values} <= _NUMBERS:
        return f"{format_leaf(min(values))} to {format_leaf(max(values))}"
    names = [
        str(one.get("name", "")) if isinstance(one, Mapping) else format_leaf(one) for one in values
    ]
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= 3:
        return " and ".join(distinct)
    return f"{distinct[0]} and {len(distinct) - 1} others"


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _fields(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in _walk(spec, "") if path != "kind"}


def _walk(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _walk(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner
