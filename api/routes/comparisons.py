"""Comparisons: with the paper's numbers, and of two points of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response

from api.dependencies import StateDep
from api.experiments.comparison_tables import (
    ComparisonTable,
    compare_stored,
    confidence_of,
    tabulate_comparison,
)
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.http.written_tables import TABLE_RESPONSES, FormatPath, IfNoneMatch, respond_with_table
from engine.analysis.pairs import compare_pairs, pair_by_seed
from engine.kind import FinishedPoint
from engine.paper.comparison import PaperComparison
from schemas.comparison import Comparison, PointDifference
from schemas.problems import ProblemCode
from schemas.resources import RunPoint
from storage.results.stored_results import StoredPlotInput

router = Router(tags=["results"])

PointIndex = Annotated[
    int, Query(ge=0, le=2**31 - 1, description="Index of a point, as in its runs.")
]


@router.get("/experiments/{experiment_id}/comparison")
def compare_with_paper(experiment_id: str, state: StateDep) -> Comparison:
    """Compare the experiment with the paper and with its own claims, also while it runs.

    A verdict is `reproduced`, `not reproduced` or `inconclusive`, with value, interval, reason, and
    the experiment's departures from the paper. The intervals are of 95 %; of more where seeds are
    added until the verdicts are decided, as each look at them is paid for. 409 while no run has
    finished.
    """
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    found, plan = _compare(source), source.seed_plan
    return Comparison(
        experiment_id=experiment_id,
        kind=source.kind.name,
        complete=_is_complete(source),
        confidence=confidence_of(source),
        seed_plan=plan,
        verdicts=list(found.verdicts),
        own_verdicts=list(found.own_verdicts),
        published=list(found.published),
        departures=list(found.departures),
        choices=list(found.choices),
        note=found.note if plan is None else f"{found.note} {plan.describe()}",
    )


@router.get(
    "/experiments/{experiment_id}/comparison.{format}",
    response_class=Response,
    responses=TABLE_RESPONSES,
)
def write_comparison(
    experiment_id: str,
    written_as: FormatPath,
    state: StateDep,
    table: Annotated[
        ComparisonTable,
        Query(
            description="Verdicts on the paper's claims, the numbers that it prints, or verdicts "
            "on the submission's claims."
        ),
    ] = "claims",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The comparison with the paper as CSV, LaTeX or Markdown. 409 while no run has finished."""
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    text, numbers = tabulate_comparison(source.title, _compare(source), table)
    return respond_with_table(
        text, numbers, written_as, if_none_match, complete=_is_complete(source)
    )


def _compare(source: StoredPlotInput) -> PaperComparison:
    found = compare_stored(source)
    if found is None:
        raise _not_ready("no run of the experiment has finished, so there is nothing to compare")
    return found


def _is_complete(source: StoredPlotInput) -> bool:
    """Whether no verdict changes any more."""
    plan = source.seed_plan
    has_ended = plan is None or plan.ended is not None
    return has_ended and source.has_all_seeds(range(len(source.points)))


@router.get("/experiments/{experiment_id}/difference")
def compare_points(
    experiment_id: str, state: StateDep, point: PointIndex, baseline: PointIndex = 0
) -> PointDifference:
    """Compare two points of an experiment, paired by seed.

    Returns differences of accuracies and loss, and ratios of times. Works for every kind.
    409 while no seed has finished at both points.
    """
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    ours, base = _get_point(source.points, point), _get_point(source.points, baseline)
    pairs = pair_by_seed(ours.results, base.results)
    if not pairs:
        raise _not_ready(f"no seed has finished at both point {point} and point {baseline}")
    found = compare_pairs(pairs)
    return PointDifference(
        experiment_id=experiment_id,
        point=RunPoint(index=point, values=dict(ours.values)),
        baseline=RunPoint(index=baseline, values=dict(base.values)),
        complete=source.has_all_seeds((point, baseline)),
        seeds=list(found.seeds),
        difference=found.difference,
        ratio=found.ratio,
        notes=list(found.notes),
    )


def _get_point(points: Sequence[FinishedPoint], index: int) -> FinishedPoint:
    if index >= len(points):
        detail = (
            f"the experiment has {len(points)} points, counted from 0; there is no point {index}"
        )
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, detail)
    return points[index]


def _not_ready(detail: str) -> ProblemRaised:
    return ProblemRaised(409, ProblemCode.NOT_READY, detail, headers={"Retry-After": "2"})
