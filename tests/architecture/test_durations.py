"""Messages tell durations as people do: `154 days`, not `13305600 s`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "client/richregime", "engine", "ops", "runtime", "schemas", "storage", "workers")
UNITS = "s|sec|seconds|min|minutes|h|hours|days"
UNIT_AFTER_VALUE = re.compile(rf"^ ({UNITS})\b")
UNIT_AFTER_PERCENT = re.compile(rf"%[-+.,\d]*[dfgs] ({UNITS})\b")
FREE = {
    "engine/durations.py": "it writes them",
    "client/richregime/formatting.py": "it writes them; the client imports nothing of the service",
    "engine/experiments/lws/published.py": "a number as the paper prints it",
}


def list_raw_durations(code: str) -> Iterator[int]:
    """Lines of strings with a number and a unit of time after it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            for value, after in pairwise(node.values):
                if (
                    isinstance(value, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and UNIT_AFTER_VALUE.match(str(after.value))
                ):
                    yield node.lineno
        elif isinstance(node, ast.Constant) and UNIT_AFTER_PERCENT.search(str(node.value)):
            yield node.lineno


def test_durations_in_messages_are_written_by_one_function() -> None:
    found = [
        f"{name}:{line}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in FREE
        for line in list_raw_durations(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "write durations with engine.durations.format_seconds"


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ('f"no step for {silent:.0f} s"', [1]),
        ('log.warning("not drained after %.0f s", limit)', [1]),
        ('f"{count} seconds left"', [1]),
        ('f"no step for {format_seconds(silent)}"', []),
        ('f"{count} steps"', []),
    ],
)
def test_the_rule_finds_a_number_with_a_unit(code: str, lines: list[int]) -> None:
    assert list(list_raw_durations(code)) == lines
