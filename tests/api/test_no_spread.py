"""Where values have no spread, comparisons say so; they do not ask for more seeds."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from api.experiments.difference_tables import difference_text
from api.web.comparison_tables import sum_up
from richregime.tables import differences_table
from richregime.types import ExperimentComparison as ClientComparison
from schemas.comparison import ExperimentComparison

EQUAL = {"standard_error": 0.0, "ci95": None, "n": 5}
ONE = {"standard_error": None, "ci95": None, "n": 1}
SPREAD = {"standard_error": 0.01, "ci95": [0.4, 0.6], "n": 5}


def compare(first: dict[str, Any], second: dict[str, Any], ci95: Any = None) -> dict[str, Any]:
    """A second experiment that is 0.1 below the first."""
    difference = {"mean": -0.1, "ci95": ci95}
    values = {
        "a": {"mean": 0.5, **first, "difference": None},
        "b": {"mean": 0.4, **second, "difference": difference},
    }
    return {
        "experiments": [
            {"id": id_, "name": id_, "kind": "train", "status": "succeeded"} for id_ in "ab"
        ],
        "spec": [],
        "quantities": ["test_accuracy"],
        "results": [
            {
                "quantity": "test_accuracy",
                "title": "test accuracy",
                "unit": "accuracy",
                "points": [{"point": {}, "values": values}],
            }
        ],
    }


@pytest.mark.parametrize(
    ("first", "second", "ci95", "sentence", "cell"),
    [
        (EQUAL, EQUAL, None, "no interval, as the values of each have no spread", " (no spread)"),
        (ONE, ONE, None, "an interval needs two seeds of each", ""),
        (ONE, SPREAD, None, "an interval needs two seeds of each", ""),
        (SPREAD, EQUAL, [-0.2, -0.05], "95 % interval", " [-0.2, -0.05]"),
    ],
)
def test_a_difference_without_spread_is_told_as_such(
    first: dict[str, Any], second: dict[str, Any], ci95: Any, sentence: str, cell: str
) -> None:
    body = compare(first, second, ci95)
    comparison = ExperimentComparison.model_validate(body)
    (told,) = sum_up(comparison, "test_accuracy")
    assert sentence in told
    found = comparison.results[0].points[0].values["b"]
    assert difference_text(found, 1.0) == f"-0.1{cell}"
    shown = ClientComparison.model_validate(body)
    console = Console(file=io.StringIO(), width=200)
    console.print(differences_table(shown, shown.results[0]))
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"-0.1{cell}" in output
    assert ("-0.1 (no spread)" in output) is (cell == " (no spread)")
