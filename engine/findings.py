"""What an experiment found, in a few plain sentences, computed from its table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from engine.analysis.stats import difference_interval
from engine.answer_table import OUTCOME_MEANINGS, AnswerRow, AnswerTable
from engine.answers import AnswerColumn, Unit
from engine.probes.reading import QUANTITY, describe_regimes
from engine.result import Outcome, Statistic
from engine.statistic_text import scale_of, symbol_of, tell

MOST_SENTENCES = 3
"""Points whose own sentences are told"""


def describe_findings(table: AnswerTable) -> list[str]:
    """The kind's own sentences; the headline at its extremes with 95 % intervals and n; the regime,
    where it was measured; points that did not train.
    """
    if not table.rows or not table.columns:
        return []
    headline = table.columns[0]
    found = [
        (row, statistic) for row in table.rows if (statistic := row.statistics.get(headline.name))
    ]
    return [
        *_list_sentences(table.rows),
        *([_describe_range(headline, found)] if found else []),
        *describe_regimes(
            [(row.label, one) for row in table.rows if (one := row.statistics.get(QUANTITY))]
        ),
        *(
            told
            for outcome in ("at_chance", "not_finite")
            if (told := _describe_outcome(outcome, table.rows))
        ),
    ]


def _list_sentences(rows: Sequence[AnswerRow]) -> list[str]:
    told = [row for row in rows if row.sentence][:MOST_SENTENCES]
    return [f"{row.label}: {row.sentence}" if row.label else row.sentence for row in told]


def _describe_range(column: AnswerColumn, found: Sequence[tuple[AnswerRow, Statistic]]) -> str:
    title, unit = column.title[0].upper() + column.title[1:], column.unit
    lowest = min(found, key=lambda one: one[1].mean)
    highest = max(found, key=lambda one: one[1].mean)
    if lowest[1].mean == highest[1].mean:
        places = f" at each of {len(found)} points" if len(found) > 1 else ""
        return f"{title}: {tell(lowest[1], unit)}{places}."
    ends = f"{title}: from {_tell_at(lowest, unit)} to {_tell_at(highest, unit)}"
    if len(found) > 2:
        return f"{ends}, over {len(found)} points."
    return f"{ends}{_tell_difference(highest[1], lowest[1], unit)}."


def _tell_at(found: tuple[AnswerRow, Statistic], unit: Unit) -> str:
    row, statistic = found
    return f"{tell(statistic, unit)} at {row.label}"


def _tell_difference(higher: Statistic, lower: Statistic, unit: Unit) -> str:
    """Of two points, where seeds give an interval."""
    interval = difference_interval(higher, lower)
    if interval is None:
        return ""
    of_difference: Unit = "difference" if symbol_of(unit) == "%" else unit
    factor = scale_of(unit) / scale_of(of_difference)
    errors = (one.standard_error or 0.0 for one in (higher, lower))
    difference = Statistic(
        mean=factor * (higher.mean - lower.mean),
        standard_error=factor * hypot(*errors),
        ci95=(factor * interval[0], factor * interval[1]),
        n=min(higher.n, lower.n),
    )
    return f"; the difference is {tell(difference, of_difference)}"


def _describe_outcome(outcome: Outcome, rows: Sequence[AnswerRow]) -> str:
    names = [row.label for row in rows if row.outcome == outcome]
    if not names:
        return ""
    word, _, reason = OUTCOME_MEANINGS[outcome].partition(": ")
    if len(rows) == 1:
        return f"{word}: {reason}."
    return f"{len(names)} of {len(rows)} points {word.lower()} ({_list(names)}): {reason}."


def _list(names: Sequence[str]) -> str:
    shown = "; ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
