"""Columns of a list of experiments: their names, what they show, and how SQL sorts by them.

A column is one of `GENERAL`, `label.KEY`, `result.NAME` for a number of the result at the best
point, or the dotted path of a field of the spec, such as `optimizer.lr`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, String, case, cast, func, null, select
from sqlmodel import Session

from schemas.status import ExperimentStatus, RunStatus
from storage.database.tables import AnswerRow, ExperimentRow, RunRow

GENERAL: Mapping[str, str] = {
    "name": "Name",
    "kind": "Kind",
    "status": "Status",
    "progress": "Progress",
    "points": "Points",
    "seeds": "Seeds",
    "priority": "Priority",
    "created": "Submitted",
    "started": "Started",
    "finished": "Finished",
    "duration": "Duration",
}
"""Columns that every experiment has, with their titles"""
ACTIVE = "active"
"""Sorts running experiments first, then queued ones, then the others; no column"""
LABEL, RESULT = "label.", "result."
MAX_COLUMNS = 40
"""That one request may name"""
_ORDER_OF_STATUS = {
    ExperimentStatus.RUNNING: 0,
    ExperimentStatus.QUEUED: 1,
    ExperimentStatus.FAILED: 2,
    ExperimentStatus.CANCELLED: 3,
    ExperimentStatus.SUCCEEDED: 4,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by; the newest first where it is equal."""

    column: str
    """A column's name, or `ACTIVE`"""
    descending: bool = False


def sort_keys(session: Session, column: str) -> list[Any]:
    """The expressions that sort by a column, each a number or text, null where it has no value."""
    match column:
        case "active":
            return [case((_has_status(ExperimentStatus.RUNNING), 0), else_=_waiting_last())]
        case "name":
            # Without a name the title begins with the kind.
            return [func.lower(func.coalesce(ExperimentRow.name, ExperimentRow.kind))]
        case "kind":
            return [ExperimentRow.kind]
        case "status":
            return [case(_ORDER_OF_STATUS, value=ExperimentRow.status)]
        case "progress":
            return [_progress()]
        case "points":
            return [ExperimentRow.num_points]
        case "seeds":
            return [_num_seeds(session)]
        case "priority":
            return [ExperimentRow.priority]
        case "created" | "started" | "finished":
            return [_seconds(session, getattr(ExperimentRow, f"{column}_at"))]
        case "duration":
            return [
                _seconds(session, ExperimentRow.finished_at)
                - _seconds(session, ExperimentRow.started_at)
            ]
    if column.startswith(LABEL):
        return [label_value(session, column.removeprefix(LABEL))]
    if column.startswith(RESULT):
        return [_answer(column.removeprefix(RESULT))]
    return list(_field(session, column.split(".")))


def label_value(session: Session, key: str) -> Any:
    """The value of a label in SQL, for every key. Damaged labels give NULL.

    On SQLite, damaged labels would fail the whole query, and a JSON path finds no key with quotes
    or backslashes.
    """
    if not _is_sqlite(session):
        return ExperimentRow.labels[key].as_string()
    each = func.json_each(ExperimentRow.labels).table_valued("key", "value")
    value = select(each.c.value).where(each.c.key == key).limit(1).scalar_subquery()
    return case((func.json_valid(ExperimentRow.labels), value))


def has_field(session: Session, path: str) -> bool:
    """Whether a stored spec or sweep, of those that the session sees, has a value at the path."""
    number, text = _field(session, path.split("."))
    query = select(ExperimentRow.id).where(number.is_not(None) | text.is_not(None)).limit(1)
    return session.execute(query).first() is not None


def spec_values(
    spec: Mapping[str, Any], sweep: Mapping[str, Sequence[Any]], path: str
) -> tuple[Any, list[Any] | None]:
    """(value, swept values) of a field; the values are None where it is not swept."""
    for axis, rest in _splits(path.split(".")):
        if axis in sweep:
            return None, [_get(value, rest) for value in sweep[axis]]
    return _get(spec, path.split(".")), None


def _splits(path: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """(axis, the rest of the path below it) for each axis that may sweep the field."""
    for length in range(len(path), 0, -1):
        yield ".".join(path[:length]), path[length:]


def _get(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_sqlite(session: Session) -> bool:
    return bool(session.get_bind().dialect.name == "sqlite")


def _has_status(status: ExperimentStatus) -> Any:
    return ExperimentRow.status == status


def _waiting_last() -> Any:
    return case((_has_status(ExperimentStatus.QUEUED), 1), else_=2)


def _seconds(session: Session, moment: Any) -> Any:
    if _is_sqlite(session):
        return func.julianday(moment) * 86_400.0
    return cast(func.extract("epoch", moment), Float)


def _num_seeds(session: Session) -> Any:
    if _is_sqlite(session):
        return case(
            (func.json_valid(ExperimentRow.seeds), func.json_array_length(ExperimentRow.seeds))
        )
    return func.json_array_length(ExperimentRow.seeds)


def _progress() -> Any:
    """The mean fraction of the runs, as `storage.experiments.resources` shows it."""
    run = RunRow.__table__
    done = case(
        (run.c.status == RunStatus.SUCCEEDED, 1.0),
        (run.c.progress_total > 0, run.c.progress_completed / run.c.progress_total),
        else_=0.0,
    )
    fraction = select(func.avg(done)).where(run.c.experiment_id == ExperimentRow.id)
    return fraction.correlate(ExperimentRow).scalar_subquery()


def _answer(name: str) -> Any:
    answer = AnswerRow.__table__.alias()
    mean = select(answer.c.mean).where(
        answer.c.experiment_id == ExperimentRow.id, answer.c.name == name
    )
    return mean.correlate(ExperimentRow).scalar_subquery()


def _field(session: Session, path: Sequence[str]) -> tuple[Any, Any]:
    """(number, text) of a field of the spec; of a swept one its first value.

    An object's text is its `name`. Both are null for a list, and where there is no such field.
    """
    read = _read_sqlite if _is_sqlite(session) else _read_postgres
    numbers, texts, swept = [], [], []
    for axis, rest in _splits(path):
        _, number, text = read(ExperimentRow.sweep, [axis, 0, *rest])
        axis_kind, *_ = read(ExperimentRow.sweep, [axis])
        swept.append(axis_kind.is_not(None))
        numbers.append(number)
        texts.append(text)
    _, number, text = read(ExperimentRow.spec, path)
    return (
        case(*zip(swept, numbers, strict=True), else_=number),
        case(*zip(swept, texts, strict=True), else_=text),
    )


def _read_sqlite(column: Any, path: Sequence[str | int]) -> tuple[Any, Any, Any]:
    """(type, number, text) of a value in a JSON column; null where the column is damaged."""
    where = _json_path(path)
    of_valid = case((func.json_valid(column), column), else_=null())
    kind, value = func.json_type(of_valid, where), func.json_extract(of_valid, where)
    return (
        kind,
        case((kind.in_(("integer", "real")), cast(value, Float))),
        case(
            (kind == "text", cast(value, String)),
            (kind.in_(("true", "false")), kind),
            (
                kind == "object",
                cast(func.json_extract(of_valid, _json_path([*path, "name"])), String),
            ),
        ),
    )


def _read_postgres(column: Any, path: Sequence[str | int]) -> tuple[Any, Any, Any]:
    parts = [str(part) for part in path]
    kind = func.json_typeof(func.json_extract_path(column, *parts))
    text = func.json_extract_path_text(column, *parts)
    return (
        kind,
        case((kind == "number", cast(text, Float))),
        case(
            (kind.in_(("string", "boolean")), text),
            (kind == "object", func.json_extract_path_text(column, *parts, "name")),
        ),
    )


def _json_path(path: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in path)
