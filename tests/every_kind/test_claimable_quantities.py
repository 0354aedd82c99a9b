"""A claim may name every number of a result that is a mean over seeds, before it is computed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.answers import AnswerColumn
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import get_kind, kinds
from engine.kind import FinishedPoint, Kind
from engine.local import LocalExperiment, run_local
from engine.own_claims.claim import OwnClaim
from engine.own_claims.judge import judge_own_claims
from engine.own_claims.quantities import is_relative, list_claimable
from engine.result import SeedResult

COMPARED = ("seconds", "ratio", "difference")
"""Units of measured times, and of quantities that need other points too"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"claims-{name}")) for name in kinds()
    ],
)
def computed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, LocalExperiment]:
    """The example of each kind, with two seeds."""
    kind, folder = get_kind(request.param), tmp_path_factory.mktemp(request.param)
    experiment = run_local(
        {**kind.example, "seeds": [0, 1]},
        folder,
        seeds=[0, 1],
        data_dir=folder / "data",
        device="cpu",
        allow_download=False,
    )
    return kind, experiment


def read_alone(kind: Kind, point: FinishedPoint, seed: SeedResult) -> dict[str, AnswerColumn]:
    """The quantities of the result of one seed."""
    (found,) = kind.summarize([replace(point, results=[seed])])
    return {column.name: column for column in kind.read_quantities(found) if column.statistic}


def value_of(column: AnswerColumn) -> float:
    assert column.statistic is not None
    return column.statistic.mean


def test_quantities_are_known_before_anything_is_computed(
    computed: tuple[Kind, LocalExperiment],
) -> None:
    """All that are means over seeds, and with the titles and units that the result has."""
    kind, experiment = computed
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
        alone = [read_alone(kind, point, seed) for seed in point.results]
        for column in (found[name] for name in told):
            if column.unit not in COMPARED:
                values = [value_of(one[column.name]) for one in alone]
                assert sum(values) / len(values) == pytest.approx(value_of(column), rel=1e-12)


def test_points_are_compared_by_the_values_that_each_seed_has_alone(
    computed: tuple[Kind, LocalExperiment],
) -> None:
    """The points share seed 5: the first result of one, the second of the other. So a value of
    another place, or of another quantity, would give another difference."""
    kind, experiment = computed
    point = replace(experiment.points[0], values={"epochs": 0})
    zero, one = point.results
    slower = one.timings.model_copy(update={"forward_seconds": 7.0})
    base = [zero.model_copy(update={"seed": 5}), one]
    ours = [zero, one.model_copy(update={"seed": 5, "timings": slower})]
    points = [
        replace(point, results=base),
        replace(point, index=1, values={"epochs": 1}, results=ours),
    ]
    before, after = read_alone(kind, point, base[0]), read_alone(kind, point, ours[1])
    claims = [
        OwnClaim(name=name, quantity=name, point=1, versus=0, at_least=0.0)
        for name, column in before.items()
        if column.is_mean and not is_relative(column)
    ]
    verdicts = judge_own_claims(kind, points, kind.summarize(points), claims)
    assert {verdict.quantity: (verdict.value, verdict.n) for verdict in verdicts} == {
        claim.name: (value_of(after[claim.name]) - value_of(before[claim.name]), 1)
        for claim in claims
    }
    assert any(verdict.value for verdict in verdicts)
