"""The table of the page `/`: its columns, what the reader may choose, and the cells of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.experiments.listing import find_unknown
from api.web.formatting import format_point, format_value
from engine.experiment_titles import list_changed, list_different
from engine.statistic_text import format_statistic, name_with_unit, scale_of
from schemas.resources import Experiment, FieldValue
from storage.database.engine import Session
from storage.experiments.answers import AnswerInfo, list_answers
from storage.experiments.columns import GENERAL, LABEL, MAX_COLUMNS, RESULT, Order
from storage.experiments.listing import Filter, count_groups, field_values

BEFORE_RESULTS = ("kind", "status", "progress")
AFTER_RESULTS = ("points", "seeds", "created", "duration")
"""Columns that are shown, around the main numbers of the results, where the reader chose none"""
MAX_MAIN_NUMBERS = 2
MAX_OFFERED = 60
"""Columns of one kind that the reader may choose from"""
MAX_SWEPT_LETTERS = 60
TEXT_COLUMNS = ("name", "kind", "status")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str
    title: str
    is_number: bool
    is_whole: bool
    """Its words are not broken over lines"""
    sorted: str | None
    """`ascending` or `descending` where the table is sorted by it"""
    next_sort: str
    """The order that a click on its head chooses"""


@dataclass(frozen=True, slots=True)
class Choice:
    """A column that the reader may choose."""

    name: str
    title: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Row:
    experiment: Experiment
    cells: Mapping[str, tuple[str, str]]
    """(text, smaller text below) by column, of those that are not `GENERAL`"""
    group: str | None


@dataclass(frozen=True, slots=True)
class ListTable:
    columns: Sequence[Column]
    rows: Sequence[Row]
    choices: Mapping[str, Sequence[Choice]]
    """By heading"""
    groups: Mapping[str | None, int]
    """How many experiments have each of the shown values of the label that groups"""
    unknown: Sequence[str]
    """Columns that no experiment has"""


def make_table(
    session: Session,
    experiments: Sequence[Experiment],
    rows: Sequence[Any],
    *,
    matching: Filter,
    chosen: Sequence[str] | None,
    order: Order,
    group: str | None,
) -> ListTable:
    """The table of one page of experiments.

    rows: of the experiments. chosen: the reader's columns; None for those that are shown first.
    """
    answers = list_answers(session, list(matching.conditions(session)))
    unknown = _list_unknown(session, chosen or ())
    names = [name for name in chosen or () if name not in unknown] or _first_columns(answers)
    names = list(dict.fromkeys(names))[:MAX_COLUMNS]
    values = field_values(session, rows, names)
    units = {f"{RESULT}{one.name}": one for one in answers}
    found = [
        Row(
            experiment,
            {name: _cell(value, units.get(name)) for name, value in values[experiment.id].items()},
            None if group is None else experiment.labels.get(group),
        )
        for experiment in experiments
    ]
    shown = {row.group for row in found if row.group is not None}
    return ListTable(
        columns=[_column(name, units.get(name), order, found) for name in names],
        rows=found,
        choices=dict(_list_choices(experiments, answers, names)),
        groups={} if group is None else count_groups(session, matching, group, sorted(shown)),
        unknown=unknown,
    )


def _list_unknown(session: Session, chosen: Sequence[str]) -> list[str]:
    if len(chosen) > MAX_COLUMNS:
        return list(chosen[MAX_COLUMNS:])
    return [name for name in chosen if any(find_unknown(session, [(name, "#/query/fields")]))]


def _first_columns(answers: Sequence[AnswerInfo]) -> list[str]:
    main = sorted(
        (one for one in answers if one.position == 0), key=lambda one: -one.num_experiments
    )
    numbers = [f"{RESULT}{one.name}" for one in main[:MAX_MAIN_NUMBERS]]
    return [*BEFORE_RESULTS, *numbers, *AFTER_RESULTS]


def _list_choices(
    experiments: Sequence[Experiment], answers: Sequence[AnswerInfo], chosen: Sequence[str]
) -> Iterator[tuple[str, list[Choice]]]:
    """By heading; columns that are chosen are always among them."""
    offered = {
        "Numbers of the result": {f"{RESULT}{one.name}": _answer_title(one) for one in answers},
        "Swept and changed fields": {path: path for path in _list_fields(experiments)},
        "Labels": {
            f"{LABEL}{key}": key
            for key in sorted({key for one in experiments for key in one.labels})
        },
        "Of every experiment": {name: title for name, title in GENERAL.items() if name != "name"},
    }
    headings = dict(zip((RESULT, "", LABEL, "general"), offered, strict=True))
    for name in chosen:
        prefix = next((one for one in (RESULT, LABEL) if name.startswith(one)), "")
        heading = headings["general" if name in GENERAL else prefix]
        offered[heading].setdefault(name, _title(name, None))
    for heading, titles in offered.items():
        some = [*titles.items()][:MAX_OFFERED]
        yield heading, [Choice(name, title, name in chosen) for name, title in some]


def _list_fields(experiments: Sequence[Experiment]) -> list[str]:
    """Fields that are swept, then those that are not the default or differ among the rows."""
    swept = [path for one in experiments for path in one.sweep]
    changed = [path for one in experiments for path in list_changed(one.kind, one.spec)]
    different = list_different([one.spec for one in experiments]) if experiments else []
    return list(dict.fromkeys([*swept, *changed, *different]))


def _column(name: str, answer: AnswerInfo | None, order: Order, rows: Sequence[Row]) -> Column:
    is_sorted = order.column == name
    descends_first = answer is not None and answer.better != "lower"
    descends_first |= name in ("created", "started", "finished", "priority")
    descends = not order.descending if is_sorted else descends_first
    return Column(
        name,
        _title(name, answer),
        _is_number(name, rows),
        name in TEXT_COLUMNS,
        ("descending" if order.descending else "ascending") if is_sorted else None,
        f"-{name}" if descends else name,
    )


def _is_number(name: str, rows: Sequence[Row]) -> bool:
    if name in GENERAL:
        return name not in TEXT_COLUMNS
    if name.startswith((RESULT, LABEL)):
        return name.startswith(RESULT)
    texts = [row.cells[name][0] for row in rows if name in row.cells]
    return all(text.replace(".", "").replace("-", "").isdigit() for text in texts)


def _title(name: str, answer: AnswerInfo | None) -> str:
    if answer is not None:
        return _answer_title(answer)
    for prefix in (RESULT, LABEL):
        if name.startswith(prefix):
            return name.removeprefix(prefix).replace("_", " ")
    return GENERAL.get(name, name)


def _answer_title(answer: AnswerInfo) -> str:
    return name_with_unit(answer.title[:1].upper() + answer.title[1:], answer.unit)


def _cell(value: FieldValue, answer: AnswerInfo | None) -> tuple[str, str]:
    if value.points is not None:
        scale = scale_of("" if answer is None else answer.unit)
        error = value.standard_error
        text = format_statistic(scale * value.value, None if error is None else scale * error)
        return text, f"at {format_point(value.point)}" if value.point else ""
    if value.swept is not None:
        text = ", ".join(map(format_value, value.swept))
        if len(text) <= MAX_SWEPT_LETTERS:
            return text, ""
        ends = f"{format_value(value.swept[0])} … {format_value(value.swept[-1])}"
        return ends, f"{len(value.swept)} values"
    return format_value(value.value), ""
