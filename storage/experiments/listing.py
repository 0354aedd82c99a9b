"""List experiments: filters, orders over all that match, pages, counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, and_, func, or_, select
from sqlmodel import Session

from schemas.resources import Experiment, FieldValue
from schemas.status import ExperimentStatus
from storage.database.cursors import (
    SortKey,
    decode_cursor,
    decode_sorted_cursor,
    encode_cursor,
    encode_sorted_cursor,
)
from storage.database.tables import AnswerRow, ExperimentRow
from storage.experiments.columns import (
    GENERAL,
    LABEL,
    RESULT,
    Order,
    label_value,
    sort_keys,
    spec_values,
)

MAX_KEY_LETTERS = 200
"""Of a text by which a list is sorted"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which experiments are meant; every condition that is given must hold."""

    kind: str | None = None
    status: ExperimentStatus | None = None
    label: tuple[str, str | None] | None = None
    """(key, value); a value of None matches every value"""
    name: str | None = None
    containing: str | None = None
    """Text in the name or the id; case is ignored"""
    ids: Sequence[str] | None = None

    def conditions(self, session: Session) -> Iterator[Any]:
        """The conditions in SQL; experiments that are imported or deleted just now never match."""
        yield ExperimentRow.hidden_at.is_(None)
        if self.kind is not None:
            yield ExperimentRow.kind == self.kind
        if self.status is not None:
            yield ExperimentRow.status == self.status
        if self.name is not None:
            yield ExperimentRow.name == self.name
        if self.containing is not None:
            yield or_(
                ExperimentRow.name.icontains(self.containing, autoescape=True),
                ExperimentRow.id.icontains(self.containing, autoescape=True),
            )
        if self.label is not None:
            key, value = self.label
            stored = label_value(session, key)
            yield stored.is_not(None) if value is None else stored == value
        if self.ids is not None:
            yield ExperimentRow.id.in_(self.ids)


ALL = Filter()


def list_experiments(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    matching: Filter = ALL,
    order: Order | None = None,
    group: str | None = None,
) -> tuple[list[ExperimentRow], str | None]:
    """One page, and the cursor of the next page.

    order: over all that match; what has no value comes last. None: newest first.
    group: a label's key; experiments with the same value stand together, those without last.

    Raises InvalidCursor.
    """
    if order is None and group is None:
        return _list_newest(session, limit, cursor, matching)
    keys = [
        *((False, key) for key in ([label_value(session, group)] if group is not None else [])),
        *(
            (order.descending, key)
            for key in ([] if order is None else sort_keys(session, order.column))
        ),
    ]
    named = [_bounded(key).label(f"key_{number}") for number, (_, key) in enumerate(keys)]
    found = select(ExperimentRow.id, *named).where(*matching.conditions(session)).subquery()
    columns = [found.c[f"key_{number}"] for number in range(len(keys))]
    directions = [descending for descending, _ in keys]
    query = select(found.c.id, *columns)
    name = _name_of(order, group)
    if cursor is not None:
        after, last = decode_sorted_cursor(cursor, name, len(keys))
        query = query.where(
            _follows(list(zip(columns, directions, after, strict=True)), found, last)
        )
    for column, descending in zip(columns, directions, strict=True):
        query = query.order_by(column.is_(None), column.desc() if descending else column)
    page = session.execute(query.order_by(found.c.id.desc()).limit(limit + 1)).all()
    ids = [row[0] for row in page[:limit]]
    rows = {
        row.id: row
        for row in session.scalars(select(ExperimentRow).where(ExperimentRow.id.in_(ids)))
    }
    following = None
    if len(page) > limit:
        last_id, *values = page[limit - 1]
        following = encode_sorted_cursor(name, list(map(_plain, values)), last_id)
    return [rows[one] for one in ids if one in rows], following


def _list_newest(
    session: Session, limit: int, cursor: str | None, matching: Filter
) -> tuple[list[ExperimentRow], str | None]:
    query = (
        select(ExperimentRow)
        .where(*matching.conditions(session))
        .order_by(ExperimentRow.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(ExperimentRow.id < decode_cursor(cursor, str)[0])
    rows = list(session.scalars(query))
    more = len(rows) > limit
    return rows[:limit], encode_cursor(rows[limit - 1].id) if more else None


def count_experiments(session: Session, matching: Filter = ALL) -> int:
    """How many experiments match."""
    query = select(func.count(ExperimentRow.id)).where(*matching.conditions(session))
    return int(session.execute(query).scalar_one())


def list_ids(session: Session, matching: Filter, limit: int) -> list[str]:
    """The ids of the newest experiments that match, newest first."""
    query = (
        select(ExperimentRow.id)
        .where(*matching.conditions(session))
        .order_by(ExperimentRow.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def count_groups(
    session: Session, matching: Filter, key: str, values: Sequence[str]
) -> dict[str | None, int]:
    """How many matching experiments have each of these values of a label; None: no such label."""
    value = label_value(session, key).label("value")
    found = select(value).where(*matching.conditions(session)).subquery()
    query = (
        select(found.c.value, func.count())
        .where(found.c.value.is_(None) | found.c.value.in_(values))
        .group_by(found.c.value)
    )
    return dict(session.execute(query).all())


def field_values(
    session: Session, rows: Sequence[ExperimentRow], columns: Sequence[str]
) -> dict[str, dict[str, FieldValue]]:
    """What each experiment shows in these columns, by its id; a column without a value is left out.

    `GENERAL` columns are left out: `general_values` has them.
    """
    results = [name.removeprefix(RESULT) for name in columns if name.startswith(RESULT)]
    answers: dict[str, dict[str, AnswerRow]] = {row.id: {} for row in rows}
    if results and rows:
        query = select(AnswerRow).where(
            AnswerRow.experiment_id.in_(answers), AnswerRow.name.in_(results)
        )
        for answer in session.scalars(query):
            answers[answer.experiment_id][answer.name] = answer
    return {row.id: _values_of(row, answers[row.id], columns) for row in rows}


def general_values(experiment: Experiment, columns: Sequence[str]) -> dict[str, FieldValue]:
    """What the experiment has in the `GENERAL` ones of these columns."""
    started, finished = experiment.started_at, experiment.finished_at
    values = {
        "name": experiment.name,
        "kind": experiment.kind,
        "status": experiment.status,
        "progress": experiment.progress.fraction,
        "points": experiment.num_points,
        "seeds": len(experiment.seeds),
        "priority": experiment.priority,
        "created": experiment.created_at,
        "started": started,
        "finished": finished,
        "duration": (finished - started).total_seconds() if started and finished else None,
    }
    return {
        name: FieldValue(value=values[name])
        for name in columns
        if name in GENERAL and values[name] is not None
    }


def _values_of(
    row: ExperimentRow, answers: Mapping[str, AnswerRow], columns: Sequence[str]
) -> dict[str, FieldValue]:
    found: dict[str, FieldValue] = {}
    for name in columns:
        if name in GENERAL:
            continue
        if name.startswith(RESULT):
            answer = answers.get(name.removeprefix(RESULT))
            if answer is not None:
                found[name] = _answer_value(answer)
        elif name.startswith(LABEL):
            label = row.readable("labels").get(name.removeprefix(LABEL))
            if label is not None:
                found[name] = FieldValue(value=label)
        else:
            value, swept = spec_values(row.readable("spec"), row.readable("sweep"), name)
            if value is not None or swept is not None:
                found[name] = FieldValue(value=value, swept=swept)
    return found


def _answer_value(answer: AnswerRow) -> FieldValue:
    return FieldValue(
        value=answer.mean,
        standard_error=answer.standard_error,
        n=answer.num_seeds,
        point=answer.readable("point"),
        points=answer.num_points,
    )


def _follows(keys: Sequence[tuple[Any, bool, SortKey]], found: Any, last: str) -> Any:
    """Whether a row comes after one with the id `last`; keys: (column, descending, its value)."""
    if not keys:
        return found.c.id < last
    (column, descending, value), *rest = keys
    if value is None:
        return and_(column.is_(None), _follows(rest, found, last))
    beyond = column < value if descending else column > value
    return or_(beyond, column.is_(None), and_(column == value, _follows(rest, found, last)))


def _bounded(key: Any) -> Any:
    return func.substr(key, 1, MAX_KEY_LETTERS, type_=String) if _is_text(key) else key


def _is_text(key: Any) -> bool:
    return isinstance(key.type, String)


def _plain(value: Any) -> SortKey:
    return value if value is None or isinstance(value, str | int) else float(value)


def _name_of(order: Order | None, group: str | None) -> str:
    sign = "-" if order is not None and order.descending else ""
    return f"{'' if order is None else sign + order.column} by {group!a}"
