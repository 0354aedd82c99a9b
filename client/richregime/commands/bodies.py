"""The body of a submission: from a file, and changed by options."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from richregime.yaml_bodies import read_yaml

if TYPE_CHECKING:
    from richregime.types import Experiment

SCHEMA_PATH = "/schemas/submission.json"
YAML_ENDINGS = (".yaml", ".yml")
RANGE = re.compile(r"^(\d+)-(\d+)$")
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][\d_]*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""A number of Python or JavaScript that JSON does not have, such as `.001`, `1.`, `+3`, `1_000`"""
DECIDED = "decided"
PLAN_FIELDS = ("first", "step", "at_most")
SPELLINGS = {"True": True, "False": False, "None": None}


def read_body(file: str) -> dict[str, Any]:
    """Read a body or a spec from a JSON or YAML file; `-` is standard input.

    A file is YAML if its name ends with `.yaml` or `.yml`; standard input is if it does not begin
    as an object of JSON. The file may be UTF-8, UTF-16 or UTF-32, with or without a byte order
    mark.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        is_yaml = file.lower().endswith(YAML_ENDINGS) or (file == "-" and text.lstrip()[:1] != "{")
        body = read_yaml(text) if is_yaml else json.loads(data)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    if not isinstance(body, dict):
        raise typer.BadParameter(f"{file}: a body must be an object with fields")
    return body


def body_of(experiment: Experiment) -> dict[str, Any]:
    """The body that submits the experiment again, complete: `submit` finds the same experiment."""
    plan = experiment.seed_plan
    body = {
        "spec": experiment.spec,
        "sweep": experiment.sweep,
        "seeds": experiment.seeds
        if plan is None
        else {"until": plan.until, "first": plan.first, "step": plan.step, "at_most": plan.at_most},
        "claims": [claim.model_dump(mode="json", exclude_none=True) for claim in experiment.claims],
        "execution": experiment.execution.model_dump(mode="json", exclude_none=True),
        "name": experiment.name,
        "labels": experiment.labels,
        "priority": experiment.priority,
        "max_seconds": experiment.max_seconds,
        "keep": str(experiment.keep),
    }
    return {name: value for name, value in body.items() if value not in (None, {}, [], 0)}


def change_body(
    body: Mapping[str, Any],
    *,
    fields: Sequence[str] = (),
    sweep: Sequence[str] = (),
    seeds: str | None = None,
    labels: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """A copy of the body, changed.

    `fields` sets fields of the spec (`model.width=100`). `sweep` adds axes (`model.width=10,100`).
    `seeds` is `0-4`, `0,3` or `decided` (see `read_seeds_or_plan`). `labels` are `key=value`. Other
    options that are not None are set.
    """
    changed: dict[str, Any] = {"spec": dict(body)} if "spec" not in body else dict(body)
    changed |= {name: value for name, value in options.items() if value is not None}
    for assignment in fields:
        path, value = _split(assignment, "--set model.width=100")
        changed["spec"] = _set_path(changed["spec"], path.split("."), read_value(value))
    for axis in sweep:
        path, values = _split(axis, "--sweep model.width=10,100")
        changed["sweep"] = {**changed.get("sweep", {}), path: read_values(values)}
    if seeds is not None:
        changed["seeds"] = read_seeds_or_plan(seeds)
    for label in labels:
        key, value = _split(label, "--label paper=fig4")
        changed["labels"] = {**changed.get("labels", {}), key: value}
    return changed


def read_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """The fields of `name=value` texts; values are JSON, or text."""
    pairs = (_split(one, "--set architecture=resnet50") for one in assignments)
    return {name: read_value(value) for name, value in pairs}


def read_seeds_or_plan(text: str) -> list[int] | dict[str, Any]:
    """Seeds as `read_seeds`, or `decided`: seeds are added until the verdicts are decided.

    `decided:5,5,40` says how many there are first, how many each step adds, and the most.
    """
    word, _, numbers = text.partition(":")
    if word != DECIDED:
        return read_seeds(text, "write 0-4, 0,1,7 or decided")
    parts = numbers.split(",") if numbers else []
    if len(parts) > len(PLAN_FIELDS) or not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r} is no plan of seeds; write decided or decided:5,5,40")
    return {"until": DECIDED, **dict(zip(PLAN_FIELDS, map(int, parts), strict=False))}


def read_seeds(text: str, advice: str = "write 0-4 or 0,1,7") -> list[int]:
    """`0-4`, `0,1,7`, or both: `0-2,9`. advice: what else may be written."""
    found: list[int] = []
    for part in text.split(","):
        span = RANGE.match(part.strip())
        if span is None and not part.strip().isdecimal():
            raise typer.BadParameter(f"{text!r} is not a list of seeds; {advice}")
        low, high = (int(span[1]), int(span[2])) if span else (int(part), int(part))
        if high - low >= 1_000:
            raise typer.BadParameter(f"{text!r} has more than 1,000 seeds")
        found += range(low, high + 1)
    return found


def read_value(text: str) -> Any:
    """The value of JSON text, else the text itself: `100`, `true`, `{"name": "vgg5"}`, `vgg5`.

    Also Python's `True`, `False` and `None`, and its numbers. Raises BadParameter for NaN,
    infinity, and a list or an object that is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        stripped = text.strip()
        if stripped in SPELLINGS:
            return SPELLINGS[stripped]
        if NUMBER.fullmatch(stripped):
            return _number(stripped)
        if stripped.startswith(("[", "{")):
            raise typer.BadParameter(
                f"{text!a} is no JSON: {error}; write lists like [0.1, null, true] and objects "
                'like {"name": "sgd", "lr": 0.1}'
            ) from None
        return text


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _refuse_constant(name: str) -> None:
    raise typer.BadParameter(f"{name} is no number of JSON; no field of a spec takes it")


def read_values(text: str) -> list[Any]:
    """The values of a JSON list, or values separated by commas."""
    whole = read_value(text)
    if isinstance(whole, list):
        return whole
    return [read_value(part) for part in text.split(",")] if isinstance(whole, str) else [whole]


def _split(assignment: str, example: str) -> tuple[str, str]:
    name, equals, value = assignment.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{assignment!r} has no `=`; example: {example}")
    return name, value


def _set_path(spec: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy with the value set. Another `name` discards the other fields of the object."""
    fields = dict(spec) if isinstance(spec, Mapping) else {}
    head, *rest = path
    if head == "name" and fields.get("name") != value:
        return {"name": value}
    fields[head] = _set_path(fields.get(head, {}), rest, value) if rest else value
    return fields
