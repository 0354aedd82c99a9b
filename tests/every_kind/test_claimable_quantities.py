"""A claim may name every number of a result that is a mean over seeds, before it is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import kinds
from engine.kind import FinishedPoint
from engine.local import run_local
from engine.own_claims.quantities import list_claimable

COMPARED = ("seconds", "ratio", "difference")
"""Units of measured times, and of quantities that need other points too"""


@pytest.mark.parametrize("name", list(kinds()))
def test_quantities_are_known_before_anything_is_computed(name: str, tmp_path: Path) -> None:
    """All that are means over seeds, and with the titles and units that the result has."""
    kind = kinds()[name]
    experiment = run_local(
        {**kind.example, "seeds": [0, 1]},
        tmp_path,
        seeds=[0, 1],
        data_dir=tmp_path / "data",
        device="cpu",
        allow_download=False,
    )
    for point, result in zip(experiment.points, experiment.summary, strict=True):
        info = BUILTIN_DATASETS[point.spec.data.name]
        expected = list_claimable(kind, point.spec, info)
        assert expected is not None
        found = {
            column.name: column
            for column in kind.read_quantities(result)
            if column.statistic is not None and column.is_mean
        }
        told = {column.name: (column.title, column.unit) for column in expected}
        for name in found.keys() - told.keys():
            twin = (found[one].statistic == found[name].statistic for one in told)
            assert any(twin), f"{name} is no other name of a quantity that is told"
        assert {name: (found[name].title, found[name].unit) for name in told} == told
        for column in (found[name] for name in told):
            if column.unit in COMPARED:
                continue
            values = [
                one.statistic.mean
                for seed in point.results
                for one in kind.read_quantities(
                    kind.summarize([FinishedPoint(0, {}, point.spec, [seed])])[0]
                )
                if one.name == column.name and one.statistic is not None
            ]
            assert column.statistic is not None
            assert sum(values) / len(values) == pytest.approx(column.statistic.mean, rel=1e-12)
