"""The table of an experiment's result: what answers its kind's question at every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query

from engine.answer_table import AnswerTable, tabulate_answers
from engine.epoch_answers import AT_PATTERN, METRICS, At, answer_at, describe_at
from engine.kind import Kind
from storage.results.stored_results import StoredPlotInput

AtQuery = Annotated[
    str | None,
    Query(
        pattern=AT_PATTERN,
        description="Metrics at an epoch instead of the kind's answer: `last`, a number, or "
        "`best`, of each seed the epoch with the highest test accuracy. `best` is chosen on the "
        "test data, so its values are optimistic.",
    ),
]
PARTIAL = "Some runs have not finished"


def answer_table(
    kind: Kind, title: str, points: Sequence[Mapping[str, Any]], *, complete: bool = True
) -> AnswerTable:
    """The answers at the points of a stored result, `GET /experiments/{id}/result`."""
    notes = [] if complete else [PARTIAL]
    answers = [kind.read_answer(point) for point in points]
    return tabulate_answers(title, points, answers, notes, [kind.tell(point) for point in points])


def epoch_table(source: StoredPlotInput, title: str, at: At) -> AnswerTable:
    """The metrics at a chosen epoch, of the seeds that have finished."""
    metrics = {name: source.read_metric(name) for name in METRICS}
    finished = [point for point in source.points if point.results]
    answers = [
        answer_at(
            at,
            {
                name: {
                    result.seed: series.get(point.index, {}).get(result.seed, ())
                    for result in point.results
                }
                for name, series in metrics.items()
            },
        )
        for point in finished
    ]
    points = [result.model_dump(mode="json") for result in source.summary]
    notes = [describe_at(at), *([] if source.is_complete else [PARTIAL])]
    return tabulate_answers(title, points, answers, notes)
