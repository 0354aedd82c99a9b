"""Metrics as columns of numpy and pandas: types do not depend on the values."""

from __future__ import annotations

import importlib.util
from math import isnan
from typing import Any

import numpy as np
import pytest

from richregime import AggregatedMetrics, Metrics

ITEM = {"point": 0, "seed": 2**31 - 1, "name": "a", "step": 3, "value": 0.1}
NULL = {**ITEM, "value": None}
STATISTIC = {"mean": 0.5, "standard_error": None, "ci95": None, "n": 1}
TYPES = {"point": "i", "seed": "i", "name": "U", "step": "i", "value": "f"}
"""Kinds of numpy's types"""


@pytest.mark.parametrize("items", [[ITEM, NULL], [NULL], []])
def test_a_column_has_the_same_type_with_and_without_values(items: list[dict[str, Any]]) -> None:
    table = Metrics.model_validate({"items": items})
    columns = {name: [item[name] for item in items] for name in ITEM}
    assert table.to_columns() == columns
    arrays, frame = table.to_numpy(), table.to_pandas()
    assert {name: array.dtype.kind for name, array in arrays.items()} == TYPES
    numbers = {name: kind for name, kind in TYPES.items() if name != "name"}
    assert {name: frame[name].dtype.kind for name in numbers} == numbers
    assert frame["name"].tolist() == columns["name"]
    for found in (arrays, frame):
        assert [None if isnan(value) else value for value in found["value"]] == columns["value"]


def test_aggregated_metrics_have_columns_of_their_statistics() -> None:
    item = {"point": 0, "name": "a", "step": 1, "statistic": STATISTIC}
    for items in ([item], []):
        arrays = AggregatedMetrics.model_validate({"items": items}).to_numpy()
        assert {name: array.dtype.kind for name, array in arrays.items()} == {
            "point": "i",
            "name": "U",
            "step": "i",
            "mean": "f",
            "standard_error": "f",
            "ci95_low": "f",
            "ci95_high": "f",
            "n": "i",
        }
        assert len(arrays["mean"]) == len(items)
    assert np.isnan(AggregatedMetrics.model_validate({"items": [item]}).to_numpy()["ci95_low"][0])


@pytest.mark.skipif(importlib.util.find_spec("polars") is not None, reason="polars is installed")
def test_without_polars_the_error_tells_what_is_missing() -> None:
    with pytest.raises(ImportError, match="polars is not installed"):
        Metrics.model_validate({"items": [ITEM]}).to_polars()
