"""Expand a sweep: from one spec and some axes to the specs of all points. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

from engine.errors import FieldError, InvalidSpec
from engine.experiments.registry import parse_spec
from engine.spec import ExperimentSpec
from engine.spec_fields import suggest_path
from engine.spec_model import find_subnormals

MAX_AXES = 8
MAX_PATH = 200
"""Characters of a path; those of the known kinds are far shorter."""
MAX_ERRORS = 100
"""Checking stops at this many errors of points: a sweep repeats an error at every point."""
MAX_FOUND_ERRORS = 1_000
"""And at this many with the repeated ones: finding them takes as long."""
_STANDING = {"unknown-path", "not-sweepable", *get_args(ErrorType)} - {"value_error"}
"""Codes of errors that depend on one field alone, whatever the others are"""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point: the values of the swept fields, in the order of the sweep, and the whole spec."""

    values: dict[str, Any]
    spec: ExperimentSpec
    choice: Mapping[str, tuple[int, Any]] = field(default_factory=dict)
    """By path: the index of the value on its axis, and the value."""

    def locate(self, error: FieldError) -> FieldError:
        """Point an error of this point's spec at the axis value that causes it, if one does."""
        return _locate(error, self.choice) if self.choice else error


def num_points(sweep: Mapping[str, Sequence[Any]]) -> int:
    """The number of points of the sweep, computed without expanding it."""
    return prod(len(values) for values in sweep.values())


def expand(
    spec: Any,
    sweep: Mapping[str, Sequence[Any]],
    before_point: Callable[[], None] = lambda: None,
) -> list[SweepPoint]:
    """Every point: the product of the axes in the order given; the last axis varies fastest.

    spec: the spec as sent. sweep: dotted paths into the spec, e.g. `model.width`, and the values of
    each; a path may name an object (`policy`). before_point: called before each point; what it
    raises ends the expansion. Raises InvalidSpec with all errors of the spec and
    the axes, else with up to MAX_ERRORS errors of the points; the pointer `#/sweep/<path>/<index>`
    says which value is wrong, or the text names the point.
    """
    errors = [
        FieldError(f"#/sweep/{_escape(path)}", "empty-axis", "an axis needs at least one value")
        for path, values in sweep.items()
        if not values
    ]
    errors += find_subnormals(spec, "#/spec")
    for path, axis in sweep.items():
        errors += find_subnormals(axis, f"#/sweep/{_escape(path)}")
    try:
        base = parse_spec(spec).model_dump(mode="json")
    except InvalidSpec as invalid:
        of_axes = _find_errors_of_axes(spec, invalid, sweep, before_point)
        raise InvalidSpec([*invalid.errors, *errors, *of_axes]) from None
    errors += _check_paths(sweep, base)
    if errors:
        raise InvalidSpec([*errors, *_find_value_errors(base, sweep, errors, before_point)])
    points, errors = _expand_points(base, sweep, before_point)
    if errors:
        raise InvalidSpec(errors)
    return points


def _check_paths(sweep: Mapping[str, Sequence[Any]], base: Mapping[str, Any]) -> list[FieldError]:
    return [error for path in sweep for error in _check_path(path, base)]


def _find_value_errors(
    base: Mapping[str, Any],
    sweep: Mapping[str, Sequence[Any]],
    known: Sequence[FieldError],
    before_point: Callable[[], None],
) -> list[FieldError]:
    """The values that their own field refuses, on the axes without a known error."""
    right = {
        path: values for path, values in sweep.items() if values and not _points_at(path, known)
    }
    _, errors = _expand_points(base, right, before_point)
    return [one for one in errors if one.code in _STANDING]


def _points_at(path: str, errors: Sequence[FieldError]) -> bool:
    pointer = f"#/sweep/{_escape(path)}"
    return any(f"{one.pointer}/".startswith(f"{pointer}/") for one in errors)


def _expand_points(
    base: Mapping[str, Any],
    sweep: Mapping[str, Sequence[Any]],
    before_point: Callable[[], None],
) -> tuple[list[SweepPoint], list[FieldError]]:
    """All points, and the errors of those that are not valid."""
    points: list[SweepPoint] = []
    errors: list[FieldError] = []
    num_found = 0
    seen: dict[str, dict[str, tuple[int, Any]]] = {}
    for choice in product(*(enumerate(values) for values in sweep.values())):
        chosen = dict(zip(sweep, choice, strict=True))
        before_point()
        data = dict(base)
        try:
            for path, (_, value) in chosen.items():
                _set(data, path, value)
            values = {path: value for path, (_, value) in chosen.items()}
            point = SweepPoint(values, parse_spec(data), chosen)
            same = seen.setdefault(point.spec.digest(), chosen)
            if same is not chosen:
                raise InvalidSpec([_describe_duplicate(chosen, same)])
            points.append(point)
        except InvalidSpec as invalid:
            errors += [
                error if error.code == "duplicate-value" else _locate(error, chosen)
                for error in invalid.errors
            ]
            errors = list(dict.fromkeys(errors))
            num_found += len(invalid.errors)
            if len(errors) >= MAX_ERRORS or num_found >= MAX_FOUND_ERRORS:
                break
    return points, errors


def _find_errors_of_axes(
    spec: Any,
    invalid: InvalidSpec,
    sweep: Mapping[str, Sequence[Any]],
    before_point: Callable[[], None],
) -> list[FieldError]:
    """The errors of axes that stand whatever the invalid fields of the spec should be.

    These are unknown paths and values that their own field refuses.
    """
    parts = [error.pointer.split("/") for error in invalid.errors]
    wrong = {part[2] for part in parts if len(part) > 2}
    if not isinstance(spec, Mapping) or not wrong or "kind" in wrong:
        return []
    axes = {path: values for path, values in sweep.items() if path.split(".")[0] not in wrong}
    try:
        rest = parse_spec({name: value for name, value in spec.items() if name not in wrong})
    except InvalidSpec:
        return []  # these errors are about fields that are left out here, and told already
    base = rest.model_dump(mode="json")
    errors = _check_paths(axes, base)
    return [*errors, *_find_value_errors(base, axes, errors, before_point)]


def _describe_duplicate(
    chosen: Mapping[str, tuple[int, Any]], same: Mapping[str, tuple[int, Any]]
) -> FieldError:
    """Two choices give the same spec: point at the last axis in which they differ."""
    path = [path for path in chosen if chosen[path][0] != same[path][0]][-1]
    index, first = chosen[path][0], same[path][0]
    return FieldError(
        f"#/sweep/{_escape(path)}/{index}",
        "duplicate-value",
        f"gives the same spec as value {first} of this axis; remove one of them",
    )


def _check_path(path: str, base: Mapping[str, Any]) -> list[FieldError]:
    """All but the last part of a path must exist; the last may belong to another axis' variant."""
    pointer = f"#/sweep/{_escape(path)}"
    parts = path.split(".")
    if len(path) > MAX_PATH:
        detail = f"the path has {len(path):,} characters; the limit is {MAX_PATH}"
        return [FieldError("#/sweep", "path-too-long", detail)]
    if parts[0] == "kind":
        return [
            FieldError(
                pointer, "not-sweepable", "`kind` cannot be swept; submit one experiment per kind"
            )
        ]
    here: Any = base
    for part in parts[:-1]:
        here = here.get(part) if isinstance(here, Mapping) else None
    if not isinstance(here, Mapping) or (len(parts) == 1 and parts[0] not in here):
        hint = suggest_path(path, _paths(base))
        return [FieldError(pointer, "unknown-path", f"the spec has no field {path[:80]!r}; {hint}")]
    return []


def _paths(value: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, inner in value.items():
        if name != "kind":
            found += (
                _paths(inner, f"{prefix}{name}.")
                if isinstance(inner, Mapping)
                else [f"{prefix}{name}"]
            )
    return found


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    """Set the field of the path. The objects on the way are copied, as points share them."""
    *parts, last = path.split(".")
    here: dict[str, Any] = data
    for part in parts:
        inner = here.get(part)
        if not isinstance(inner, dict):
            detail = "the value of another axis has no such field"
            raise InvalidSpec.single(f"#/sweep/{_escape(path)}", "unknown-path", detail)
        here[part] = here = dict(inner)
    here[last] = value


def _locate(error: FieldError, chosen: Mapping[str, tuple[int, Any]]) -> FieldError:
    """Point at the axis value that causes the error; without one, name the point in the text."""
    inner = error.pointer.removeprefix("#/spec/").replace("/", ".")
    for path, (index, _) in chosen.items():
        if inner == path or inner.startswith(f"{path}."):
            rest = inner[len(path) :].replace(".", "/")
            return FieldError(f"#/sweep/{_escape(path)}/{index}{rest}", error.code, error.detail)
    values = ", ".join(f"{path} = {value!r}" for path, (_, value) in chosen.items())
    return FieldError(error.pointer, error.code, f"{error.detail} (at the point {values[:200]})")


def _escape(path: str) -> str:
    return path.replace("~", "~0").replace("/", "~1")
