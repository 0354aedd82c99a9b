"""Claims 6 and 7: static and probabilistic layer-wise sparse SGD (paper, Section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.analysis.pairs import pair_by_seed, summarize_ratio
from engine.analysis.stats import CONFIDENCE, DIFFERENCE, POSITIVE
from engine.experiments.lws.result import LwsPointResult
from engine.experiments.lws.spec import LwsSpec
from engine.kind import FinishedPoint
from engine.paper.claims import get_claim
from engine.paper.sentences import Wording
from engine.paper.verdict import Measurement, Subject, Verdict, conclude, conclude_any, unmeasured
from engine.result import PointResult
from engine.training.policies import (
    BottomQPolicy,
    FullPolicy,
    MiddlePolicy,
    PolicySpec,
    TopKAllBottomsPolicy,
    TopKBottomQPolicy,
    TopKPolicy,
    title_of,
)

ACCURACY_MARGIN = 0.02
"""Accuracy is kept where less is lost: the paper calls at most 2 points little (Section 6.1)."""
SIMILAR_TIME = (0.8, 1.25)
"""Bounds on the ratio of two similar back-propagation times; the paper names no number."""
HALF_TIME = 0.6
"""Upper bound for the paper's "approximately half": 0.5, and 0.1 for "approximately"."""
NOT_TIMED = "no seed has finished its training under both policies"
CLAIMED_RHO = 0.1
KEEPS_ACCURACY = f"Top k All Bottoms loses less than {ACCURACY_MARGIN:.0%} of accuracy against full"


@dataclass(frozen=True, slots=True)
class _Cell:
    """A point, its result, its policy."""

    point: FinishedPoint
    point_result: LwsPointResult
    spec: LwsSpec

    @property
    def policy(self) -> PolicySpec:
        return self.spec.policy


def judge(
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """A verdict on claims 6 and 7 for every group of points that differ only in policy."""
    verdicts = []
    for group in _group_points(points, summary):
        subject = _describe(group)
        if measurements := _measure_static(group):
            verdicts.append(conclude(get_claim(6), measurements, subject, confidence))
        if cases := _measure_probabilistic(group):
            verdicts.append(conclude_any(get_claim(7), cases, subject, confidence))
    return verdicts


def _group_points(
    points: Sequence[FinishedPoint], summary: Sequence[PointResult]
) -> list[list[_Cell]]:
    groups: dict[str, list[_Cell]] = {}
    finished = [point for point in points if point.results]
    for point, point_result in zip(finished, summary, strict=True):
        assert isinstance(point_result, LwsPointResult)
        assert isinstance(point.spec, LwsSpec)
        key = point.spec.model_dump_json(exclude={"policy"})
        groups.setdefault(key, []).append(_Cell(point, point_result, point.spec))
    return list(groups.values())


def _describe(group: Sequence[_Cell]) -> Subject:
    return Subject(
        specs=[cell.spec for cell in group],
        num_seeds=min(len(cell.point.results) for cell in group),
        values={
            name: value
            for name, value in group[0].point.values.items()
            if name != "policy" and not name.startswith("policy.")
        },
    )


def _measure_static(group: Sequence[_Cell]) -> list[Measurement]:
    """Claim 6; empty where no point has a static policy of top or bottom layers."""
    static = TopKPolicy | BottomQPolicy | TopKBottomQPolicy
    if not any(isinstance(cell.policy, static) for cell in group):
        return []
    return [
        _top_and_bottom_keep_accuracy(group),
        *_top_is_fastest(group),
        *_bottom_costs_as_much(group),
    ]


def _top_and_bottom_keep_accuracy(group: Sequence[_Cell]) -> Measurement:
    """Judged on the point that trains the most layers but not all; accuracies do not choose it."""
    statement = f"Top k Bottom q loses less than {ACCURACY_MARGIN:.0%} of accuracy against full"
    best, most = None, 0
    for cell in group:
        policy = cell.policy
        if isinstance(policy, TopKBottomQPolicy):
            trained = policy.k + policy.q
            if most < trained < len(cell.point_result.epochs_by_lowest_layer):
                best, most = cell, trained
    return _keeps_accuracy(statement, best, group)


def _keeps_accuracy(statement: str, cell: _Cell | None, group: Sequence[_Cell]) -> Measurement:
    if cell is None:
        return unmeasured(statement, "no such point has finished")
    statement = f"{statement}, at {title_of(cell.policy)}"
    full = _first(group, FullPolicy)
    if full is None or cell.point_result.difference is None:
        return unmeasured(statement, "no full point with the same seeds has finished")
    if full.point_result.outcome != "trained":
        return unmeasured(statement, "the full net itself did not train")
    what = f"{title_of(cell.policy)} is {{}}"
    return Measurement(
        statement,
        cell.point_result.difference,
        Wording(f"{what} more accurate than full", f"{what} less accurate than full"),
        above=-ACCURACY_MARGIN,
        bounds=DIFFERENCE,
    )


def _top_is_fastest(group: Sequence[_Cell]) -> list[Measurement]:
    """Every comparison, as all must hold.

    Each top k is compared with the bottom q = k, with and without top layers; the smallest top k
    also with middle and full.
    """
    statement = "Top k spends less time in backward than any other static choice of as many layers"
    tops = {cell.policy.k: cell for cell in group if isinstance(cell.policy, TopKPolicy)}
    if not tops:
        return [unmeasured(statement, "no top k point has finished")]
    rivals: list[tuple[_Cell, _Cell]] = []
    for cell in group:
        match cell.policy:
            case BottomQPolicy(q=q) | TopKBottomQPolicy(q=q) if q in tops:
                rivals.append((tops[q], cell))
            case MiddlePolicy() | FullPolicy():
                rivals.append((tops[min(tops)], cell))
    measurements = [
        _measure_ratio(
            f"{statement}: {title_of(top.policy)} over {title_of(other.policy)}",
            top,
            other,
            below=1.0,
        )
        for top, other in rivals
    ]
    return measurements or [
        unmeasured(statement, "no other static point to compare with has finished")
    ]


def _bottom_costs_as_much(group: Sequence[_Cell]) -> list[Measurement]:
    low, high = SIMILAR_TIME
    statement = "Top k Bottom q spends about the time of Bottom q in backward"
    bottoms = {cell.policy.q: cell for cell in group if isinstance(cell.policy, BottomQPolicy)}
    measurements = [
        _measure_ratio(
            f"{statement}: {title_of(cell.policy)}",
            cell,
            bottoms[cell.policy.q],
            above=low,
            below=high,
        )
        for cell in group
        if isinstance(cell.policy, TopKBottomQPolicy) and cell.policy.q in bottoms
    ]
    return measurements or [unmeasured(statement, "no pair of points with the same q has finished")]


def _measure_probabilistic(group: Sequence[_Cell]) -> list[list[Measurement]]:
    """Claim 7, the parts for each k at the claim's rho; empty without a Top k All Bottoms.

    The paper claims it of a suitable k (Section 6.2), so one k is enough.
    """
    cells = {
        cell.policy.k: cell
        for cell in group
        if isinstance(cell.policy, TopKAllBottomsPolicy) and cell.policy.rho == CLAIMED_RHO
    }
    if cells:
        return [_measure_all_bottoms(cells[k], group) for k in sorted(cells)]
    if any(isinstance(cell.policy, TopKAllBottomsPolicy) for cell in group):
        reason = f"no Top k All Bottoms at rho = {CLAIMED_RHO:g} has finished"
        return [[unmeasured(KEEPS_ACCURACY, reason)]]
    return []


def _measure_all_bottoms(cell: _Cell, group: Sequence[_Cell]) -> list[Measurement]:
    """Accuracy, time of back-propagation and time of training, each against `full`."""
    name = title_of(cell.policy)
    if cell.spec.model.name == "vgg11" and cell.spec.init.name != "pretrained":
        reason = (
            "the paper claims it of VGG-11 from pretrained weights; from Xavier its Table 1 shows "
            "a loss of 13.69 points"
        )
        measurements = [unmeasured(KEEPS_ACCURACY, reason)]
    else:
        measurements = [_keeps_accuracy(KEEPS_ACCURACY, cell, group)]
    for statement, told, ratio, bound in (
        (
            f"Back-propagation of {name} takes at most half the time of full",
            f"Back-propagation of {name} takes {{}} the time of full",
            cell.point_result.backward_ratio,
            0.5,
        ),
        (
            f"Training by {name} takes about half the time of full, or less",
            f"Training by {name} takes {{}} the time of full",
            cell.point_result.train_ratio,
            HALF_TIME,
        ),
    ):
        if ratio is None:
            measurements.append(unmeasured(statement, NOT_TIMED))
        else:
            measurements.append(
                Measurement(
                    statement, ratio, Wording(told, unit="times"), below=bound, bounds=POSITIVE
                )
            )
    return measurements


def _measure_ratio(
    statement: str,
    cell: _Cell,
    other: _Cell,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Measurement:
    """Compare the ratio of back-propagation times, paired by seed, with `bounds`."""
    ratio = summarize_ratio(
        pair_by_seed(cell.point.results, other.point.results),
        lambda result: result.timings.backward_seconds,
    )
    if ratio is None:
        return unmeasured(statement, NOT_TIMED)
    told = (
        f"Back-propagation of {title_of(cell.policy)} takes {{}} the time of "
        f"{title_of(other.policy)}"
    )
    return Measurement(
        statement, ratio, Wording(told, unit="times"), above=above, below=below, bounds=POSITIVE
    )


def _first(group: Sequence[_Cell], policy: type[FullPolicy]) -> _Cell | None:
    return next((cell for cell in group if isinstance(cell.policy, policy)), None)
