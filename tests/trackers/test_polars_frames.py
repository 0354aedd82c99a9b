"""Frames of polars have the numbers and types of pandas' frames."""

from __future__ import annotations

from importlib import import_module
from math import isnan
from typing import Any

import pytest

from richregime import AggregatedMetrics, Metrics

pytestmark = pytest.mark.trackers

VALUE = {"point": 1, "seed": 2**31 - 1, "name": "a", "step": 3, "value": 0.1}
NULL = {**VALUE, "value": None}
STATISTIC = {"mean": 0.3, "standard_error": 0.1, "ci95": (0.2, 0.4), "n": 5}
ONE_SEED = {"mean": 0.5, "standard_error": None, "ci95": None, "n": 1}
PLAIN = {"point": 0, "name": "a", "step": 1}


def make_aggregates(*statistics: dict[str, Any]) -> AggregatedMetrics:
    items = [{**PLAIN, "statistic": one} for one in statistics]
    return AggregatedMetrics.model_validate({"items": items})


TABLES: dict[str, Metrics | AggregatedMetrics] = {
    "values": Metrics.model_validate({"items": [VALUE, NULL]}),
    "nulls": Metrics.model_validate({"items": [NULL]}),
    "none": Metrics(items=[]),
    "aggregated values": make_aggregates(STATISTIC, ONE_SEED),
    "aggregated nulls": make_aggregates(ONE_SEED),
    "aggregated none": make_aggregates(),
}
POLARS_TYPES = {"i": "Int64", "f": "Float64", "O": "String"}
"""By kind of numpy's type"""


def plain(value: Any) -> Any:
    return None if isinstance(value, float) and isnan(value) else value


@pytest.mark.parametrize("name", TABLES)
def test_frames_of_polars_and_pandas_are_equal(name: str) -> None:
    table = TABLES[name]
    ours, theirs = table.to_polars(), table.to_pandas()
    assert isinstance(ours, import_module("polars").DataFrame)
    columns = {column: map(plain, theirs[column].tolist()) for column in theirs.columns}
    assert ours.to_dict(as_series=False) == {one: list(values) for one, values in columns.items()}
    assert ours.columns == list(theirs.columns)
    assert {one: str(kind) for one, kind in ours.schema.items()} == {
        one: POLARS_TYPES[theirs[one].dtype.kind] for one in theirs.columns
    }
    assert len(ours) == len(table.items)
