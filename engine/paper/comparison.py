"""Compare an experiment with the paper: verdicts on its claims, its printed numbers beside ours.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from engine.analysis.stats import CONFIDENCE, MIN_SEEDS, summarize
from engine.data.spec import BUILTIN_DATASETS
from engine.kind import FinishedPoint, Kind
from engine.labels import label_points
from engine.models.layout import num_parameters
from engine.own_claims.claim import OwnClaim
from engine.own_claims.judge import OwnVerdict, judge_own_claims
from engine.paper.choices import list_choices
from engine.paper.departures import list_departures
from engine.paper.published import PARAMETERS, PublishedNumber, list_parameter_counts
from engine.paper.verdict import Verdict
from engine.result import PointResult, ResultModel, Statistic


class PublishedValue(ResultModel):
    """A number that the paper prints, and ours."""

    quantity: str
    """A field of the result's points, or `parameters`, of the net alone."""
    point: dict[str, Any]
    """The swept values of the point that the number is about."""
    label: str = ""
    """Their name, as in tables and legends; empty without a sweep."""
    printed: str
    """As printed in the paper."""
    at_least: float | None
    at_most: float | None
    """Bounds of the printed number; equal where it is one number."""
    ours: Statistic | None
    """Null where this experiment does not measure it, e.g. a ratio without a full point."""
    source: str


OfPoint = TypeVar("OfPoint", Verdict, PublishedValue)


class PaperComparison(ResultModel):
    """How an experiment compares with the paper, and with the claims of its submission."""

    verdicts: tuple[Verdict, ...]
    published: tuple[PublishedValue, ...]
    departures: tuple[str, ...]
    """Where the points depart from the paper's protocol; a verdict lists its own points' only."""
    choices: tuple[str, ...]
    """What the points choose where the paper is silent."""
    note: str
    """How to read the comparison."""
    own_verdicts: tuple[OwnVerdict, ...] = ()
    """On the claims of the submission."""


def compare(
    kind: Kind,
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
    claims: Sequence[OwnClaim] = (),
) -> PaperComparison:
    """Compare the finished seeds of `points` with the paper, and with the submission's claims.

    summary: the result of each point that has results, in their order. confidence: of the
    intervals that decide the verdicts, in (0, 1). claims: of the submission.
    """
    finished = [point for point in points if point.results]
    judge = kind.load_judge()
    verdicts = _name_points(judge(points, summary, confidence)) if judge is not None else ()
    seeds = min((len(point.results) for point in finished), default=0)
    return PaperComparison(
        verdicts=verdicts,
        published=_name_points(
            [
                _compare_number(number, point, point_result)
                for point, point_result in zip(finished, summary, strict=True)
                for number in (
                    *list_parameter_counts(point.spec.model),
                    *kind.list_published(point.spec),
                )
            ]
        ),
        departures=list_departures((point.spec for point in finished), seeds),
        choices=list_choices(point.spec for point in finished),
        note=_describe(kind, verdicts, seeds, confidence),
        own_verdicts=judge_own_claims(kind, points, summary, claims, confidence),
    )


def _name_points(found: Sequence[OfPoint]) -> tuple[OfPoint, ...]:
    """With the label of the point of each."""
    names = label_points([one.point for one in found])
    return tuple(
        one.model_copy(update={"label": name}) for one, name in zip(found, names, strict=True)
    )


def _compare_number(
    number: PublishedNumber, point: FinishedPoint, point_result: PointResult
) -> PublishedValue:
    return PublishedValue(
        quantity=number.quantity,
        point=dict(point.values),
        printed=number.printed,
        at_least=number.at_least,
        at_most=number.at_most,
        ours=_count_parameters(point)
        if number.quantity == PARAMETERS
        else getattr(point_result, number.quantity),
        source=number.source,
    )


def _count_parameters(point: FinishedPoint) -> Statistic | None:
    """p, the same for every seed; None for a registered data set, as p depends on its shape."""
    info = BUILTIN_DATASETS.get(point.spec.data.name)
    return (
        summarize([num_parameters(point.spec.model, info)] * len(point.results)) if info else None
    )


def _describe(kind: Kind, verdicts: Sequence[Verdict], seeds: int, confidence: float) -> str:
    if not verdicts:
        return f"The paper makes no claim that these points of the kind {kind.name} measure."
    read = (
        f"Reproduced: the whole {100 * confidence:.6g} % interval over seeds agrees with the "
        "claim. Read each verdict with its departures from the paper."
    )
    if seeds < MIN_SEEDS:
        return (
            f"{read} Some point has {seeds} finished seed{'s' * (seeds != 1)}; "
            f"a verdict needs {MIN_SEEDS}."
        )
    return read
