"""The bodies in `examples/` are valid."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from engine.experiments.registry import kinds, parse_spec
from schemas.submission import Submission

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.json"))


def set_path(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with another value at a dotted path."""
    head, _, rest = path.partition(".")
    return {**spec, head: set_path(spec.get(head, {}), rest, value) if rest else value}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_point_of_an_example_is_a_valid_spec(file: Path) -> None:
    submission = Submission.model_validate_json(file.read_text(encoding="utf-8"))
    for values in itertools.product(*submission.sweep.values()):
        spec = parse_spec(submission.spec).model_dump(mode="json")
        for path, value in zip(submission.sweep, values, strict=True):
            spec = set_path(spec, path, value)
        parse_spec(spec)


def test_every_kind_has_an_example() -> None:
    shown = {json.loads(file.read_text(encoding="utf-8"))["spec"]["kind"] for file in EXAMPLES}
    assert shown == set(kinds())
