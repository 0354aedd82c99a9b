"""The list of experiments: checks what it is sorted by and shows, and reads one page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from api.dependencies import State
from api.http.problems import ProblemRaised
from engine.errors import FieldError
from engine.experiments.registry import kinds
from engine.result import Statistic
from engine.spec_fields import list_paths, suggest_path
from schemas.base import CountedPage
from schemas.problems import ProblemCode
from schemas.resources import Experiment
from storage.database.engine import Session
from storage.experiments.answers import list_answers
from storage.experiments.columns import (
    ACTIVE,
    GENERAL,
    LABEL,
    MAX_COLUMNS,
    RESULT,
    Order,
    has_field,
)
from storage.experiments.listing import (
    Filter,
    count_experiments,
    field_values,
    general_values,
    list_experiments,
)
from storage.experiments.resources import to_resources

PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,7}", re.ASCII)
MAX_NAME_LETTERS = 210
"""Of a column"""
EXPLANATION = (
    f"a column is one of {', '.join(GENERAL)}; a field of the spec, such as optimizer.lr; "
    "result.NAME for a number of the result; or label.KEY"
)


def list_page(
    state: State,
    session: Session,
    *,
    limit: int,
    cursor: str | None,
    matching: Filter,
    sort: str | None,
    columns: Sequence[str],
    group: str | None,
) -> CountedPage[Experiment]:
    """One page of the experiments that match, with their values in these columns.

    sort: a column or `active`, with a minus before it for descending; None: newest first.
    Raises InvalidCursor, and a problem for unknown columns, with what is possible.
    """
    order = parse_order(sort)
    named = [(name, "#/query/fields") for name in dict.fromkeys(columns)]
    errors = [] if order is None else list(find_unknown_order(session, order))
    errors += find_unknown(session, named)
    if errors:
        detail = f"{errors[0].detail}; {EXPLANATION}"
        raise ProblemRaised(422, ProblemCode.INVALID_REQUEST, detail, errors)
    rows, following = list_experiments(
        session, limit=limit, cursor=cursor, matching=matching, order=order, group=group
    )
    found = to_resources(session, rows, limit_per_owner=state.settings.limit_running_per_owner)
    if columns:
        values = field_values(session, rows, columns)
        found = [
            one.model_copy(update={"fields": general_values(one, columns) | values[one.id]})
            for one in found
        ]
    total = count_experiments(session, matching)
    return CountedPage[Experiment](items=found, next_cursor=following, total=total)


def parse_order(sort: str | None) -> Order | None:
    """The order that `column` or `-column` names."""
    if sort is None:
        return None
    return Order(sort.removeprefix("-"), descending=sort.startswith("-"))


def find_unknown_order(session: Session, order: Order) -> Iterator[FieldError]:
    """An error where no experiment can have the column that the order names."""
    if order.column != ACTIVE:
        yield from find_unknown(session, [(order.column, "#/query/sort")])


def find_unknown(session: Session, named: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """An error for each column that no experiment can have; (column, pointer) of each."""
    if len(named) > MAX_COLUMNS:
        detail = f"{len(named)} columns are named; the limit is {MAX_COLUMNS}"
        yield FieldError("#/query/fields", "too_long", detail)
        return
    answers: list[str] | None = None
    for name, pointer in named:
        if name in GENERAL or (name.startswith(LABEL) and name != LABEL):
            continue
        if name.startswith(RESULT):
            if name.removeprefix(RESULT) in _statistics():
                continue
            if answers is None:
                answers = [one.name for one in list_answers(session)]
            if name.removeprefix(RESULT) not in answers:
                possible = suggest_path(name, [f"{RESULT}{one}" for one in answers])
                detail = f"no result holds the number {_short(name)!r}; {possible}"
                yield FieldError(pointer, "unknown-column", detail)
        elif name not in _paths() and not (PATH.fullmatch(name) and has_field(session, name)):
            near = suggest_path(_short(name), [*GENERAL, *_paths()])
            more = f"; {near}" if near.startswith("did you mean") else ""
            yield FieldError(
                pointer, "unknown-column", f"there is no column {_short(name)!r}{more}"
            )


def _short(name: str) -> str:
    return name[:80]


@cache
def _paths() -> frozenset[str]:
    """Of the fields of every kind's spec."""
    paths = {path for kind in kinds().values() for path in list_paths(kind.spec)}
    return frozenset(paths - {"kind"})


@cache
def _statistics() -> frozenset[str]:
    """Numbers that results of the kinds have as a field of their own, before any is stored."""
    return frozenset(
        name
        for kind in kinds().values()
        for name, field in kind.point_result.model_fields.items()
        if field.annotation in (Statistic, Statistic | None)
    )
