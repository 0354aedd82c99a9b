"""Store what a list shows of a result and sorts by: each number of its kind's answer, at the best
point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session

from engine.answers import AnswerColumn
from engine.experiments.registry import get_kind
from engine.kind import Kind
from engine.result import Statistic
from runtime.log_once import log_once
from storage.database.engine import Database
from storage.database.tables import AnswerRow, ExperimentRow
from storage.errors import NotFound
from storage.experiments.find import get_experiment
from storage.experiments.locks import lock_experiment

VERSION = 1
"""Raised when the numbers of stored results change: the reconciler then stores them anew"""
MAX_NUMBERS = 40
"""Of one experiment; the most telling ones of its kind are kept"""
MAX_NAME_LETTERS = AnswerRow.__table__.c.name.type.length
MAX_LISTED = 200
MAX_FILLED_IN = 50
"""Experiments in one pass of the reconciler"""


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """A number that results have."""

    name: str
    title: str
    """That of its kinds; the name in words where they differ"""
    unit: str
    better: str | None
    position: int
    """The first among the numbers of the kinds that have it"""
    num_experiments: int


def find_answers(kind: str, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `answer`, without the experiment's id, for the points of a stored result.

    The best point has the lowest mean where lower is better, else the highest; of equal ones it is
    the first. Empty, and logged, for a result that its kind cannot read, such as one of a kind that
    is not installed.
    """
    found: list[dict[str, Any]] = []
    with log_once(f"kind {kind}: the answer of a stored result cannot be read"):
        found += _find_answers(get_kind(kind), points)
    return found


def _find_answers(kind: Kind, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, list[tuple[Mapping[str, Any], AnswerColumn, Statistic]]] = {}
    for point in points:
        for column in kind.read_answer(point):
            if column.statistic is not None and len(column.name) <= MAX_NAME_LETTERS:
                values = found.setdefault(column.name, [])
                values.append((point["point"], column, column.statistic))
    rows = []
    for position, values in enumerate(list(found.values())[:MAX_NUMBERS]):
        sign = -1 if values[0][1].better == "lower" else 1
        point, column, best = max(values, key=lambda one: sign * one[2].mean)
        rows.append(
            {
                "name": column.name,
                "position": position,
                "title": column.title,
                "unit": column.unit,
                "better": column.better,
                "mean": best.mean,
                "standard_error": best.standard_error,
                "num_seeds": best.n,
                "num_points": len(values),
                "point": dict(point),
            }
        )
    return rows


def store_answers(session: Session, experiment_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the stored numbers of an experiment by the rows of `find_answers`."""
    session.execute(delete(AnswerRow).where(AnswerRow.experiment_id == experiment_id))
    if rows:
        stored = [{**row, "experiment_id": experiment_id} for row in rows]
        session.execute(insert(AnswerRow.__table__), stored)
    _set_version(session, experiment_id, VERSION)


def drop_answers(session: Session, experiment_id: str) -> None:
    """Forget the numbers of an experiment whose result is outdated."""
    session.execute(delete(AnswerRow).where(AnswerRow.experiment_id == experiment_id))
    _set_version(session, experiment_id, 0)


def _set_version(session: Session, experiment_id: str, version: int) -> None:
    changed = update(ExperimentRow).where(ExperimentRow.id == experiment_id)
    session.execute(changed.values(answers_version=version))


def fill_in_answers(db: Database) -> int:
    """Store the numbers of results that an earlier version stored; returns of how many.

    At most `MAX_FILLED_IN` in one call.
    """
    with db.read() as session:
        query = (
            select(ExperimentRow.id)
            .where(
                ExperimentRow.answers_version < VERSION,
                ExperimentRow.summary.is_not(None),
                ExperimentRow.hidden_at.is_(None),
            )
            .order_by(ExperimentRow.id)
            .limit(MAX_FILLED_IN)
        )
        missing = list(session.scalars(query))
    for experiment_id in missing:
        with log_once(f"experiment {experiment_id}: its numbers could not be stored"):
            _fill_in(db, experiment_id)
    return len(missing)


def _fill_in(db: Database, experiment_id: str) -> None:
    try:
        with db.read() as session:
            row = get_experiment(session, experiment_id)
            summary = row.readable("summary") or {}
    except NotFound:  # deleted meanwhile
        return
    rows = find_answers(row.kind, summary.get("points", ()))
    with db.write() as session:
        if lock_experiment(session, experiment_id).last_event == row.last_event:
            store_answers(session, experiment_id, rows)


def list_answers(session: Session, conditions: Sequence[Any] = ()) -> list[AnswerInfo]:
    """The numbers that stored results have, the most telling ones first.

    conditions: which experiments count; default: all that the session sees.
    """
    query = (
        select(
            AnswerRow.name,
            func.min(AnswerRow.title),
            func.max(AnswerRow.title),
            func.min(AnswerRow.unit),
            func.min(AnswerRow.better),
            func.min(AnswerRow.position),
            func.count(),
        )
        .where(
            AnswerRow.experiment_id.in_(
                select(ExperimentRow.id).where(ExperimentRow.hidden_at.is_(None), *conditions)
            )
        )
        .group_by(AnswerRow.name)
        .order_by(func.min(AnswerRow.position), func.count().desc(), AnswerRow.name)
        .limit(MAX_LISTED)
    )
    return [
        AnswerInfo(name, title if title == other else name.replace("_", " "), *rest)
        for name, title, other, *rest in session.execute(query)
    ]
