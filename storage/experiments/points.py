"""Read the points of an experiment with the results of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlmodel import Session

from engine.errors import InvalidSpec
from engine.experiments.registry import get_kind, parse_spec
from engine.kind import FinishedPoint
from engine.result import SeedResult
from engine.spec import ExperimentSpec
from schemas.status import RunStatus
from storage.database.json_columns import readable
from storage.database.tables import PointRow, RunRow
from storage.experiments.find import get_experiment


def finished_points(
    session: Session, experiment_id: str, indices: Sequence[int] | None = None
) -> list[FinishedPoint]:
    """Every point, by index, with the results of its finished seeds in the experiment's order.

    indices: of the points to read; None reads all. Raises NotFound and UnreadableRow.
    """
    row = get_experiment(session, experiment_id)
    seed_result = get_kind(row.kind).seed_result
    results: dict[str, dict[int, Any]] = {}
    query = select(RunRow).where(
        RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.SUCCEEDED
    )
    chosen = select(PointRow).where(PointRow.experiment_id == experiment_id)
    if indices is not None:
        chosen = chosen.where(PointRow.index.in_(list(indices)))
        query = query.where(RunRow.point_id.in_(chosen.with_only_columns(PointRow.id)))
    for run in session.scalars(query):
        of_point = results.setdefault(run.point_id, {})
        of_point.update({one.seed: one for one in _read_results(run, seed_result)})
    points = session.scalars(chosen.order_by(PointRow.index))
    return [
        FinishedPoint(
            point.index,
            point.values,
            _read_spec(point),
            sorted(results.get(point.id, {}).values(), key=lambda one: row.seeds.index(one.seed)),
        )
        for point in points
    ]


def _read_results(run: RunRow, seed_result: type[SeedResult]) -> list[SeedResult]:
    try:
        return [seed_result.model_validate(entry) for entry in run.result or ()]
    except ValidationError as error:
        raise run.unreadable_error("result") from error


def _read_spec(point: PointRow) -> ExperimentSpec:
    try:
        return parse_spec(point.spec)
    except InvalidSpec as error:
        raise point.unreadable_error("spec") from error


def point_values(session: Session, experiment_id: str) -> list[dict[str, Any]]:
    """The swept fields and values of every point, by index; empty where they are unreadable."""
    return _read_column(session, experiment_id, PointRow.values)


def point_specs(session: Session, experiment_id: str) -> list[dict[str, Any]]:
    """The spec of every point as JSON, by index; empty where they are unreadable."""
    return _read_column(session, experiment_id, PointRow.spec)


def _read_column(session: Session, experiment_id: str, column: Any) -> list[dict[str, Any]]:
    query = select(column).where(PointRow.experiment_id == experiment_id).order_by(PointRow.index)
    return [readable(value) for value in session.scalars(query)]
