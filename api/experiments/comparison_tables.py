"""The comparison of an experiment with the paper, and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from engine.analysis.stats import CONFIDENCE
from engine.own_claims.tables import own_numbers, tabulate_own
from engine.paper.comparison import PaperComparison, compare
from engine.paper.comparison_tables import (
    published_numbers,
    tabulate_published,
    tabulate_verdicts,
    verdict_numbers,
)
from engine.tables import TextTable
from storage.results.stored_results import StoredPlotInput

ComparisonTable = Literal["claims", "published", "own_claims"]
TITLES: Mapping[ComparisonTable, str] = {
    "claims": "claims of the paper",
    "published": "numbers that the paper prints",
    "own_claims": "claims of the submission",
}


def compare_stored(source: StoredPlotInput) -> PaperComparison | None:
    """The comparison of what has finished; None while no run has."""
    if not source.summary:
        return None
    return compare(source.kind, source.points, source.summary, confidence_of(source), source.claims)


def confidence_of(source: StoredPlotInput) -> float:
    """The confidence of its intervals: higher where seeds are added until verdicts are decided."""
    return CONFIDENCE if source.seed_plan is None else source.seed_plan.confidence


def tabulate_comparison(
    title: str, found: PaperComparison, which: ComparisonTable
) -> tuple[TextTable, Mapping[str, Any]]:
    """(cells, unrounded numbers) of the verdicts on claims, or of the numbers that are printed."""
    title = f"{title}: {TITLES[which]}"
    if which == "own_claims":
        return tabulate_own(title, found.own_verdicts), own_numbers(title, found.own_verdicts)
    if which == "claims":
        return tabulate_verdicts(title, found.verdicts), verdict_numbers(title, found.verdicts)
    return tabulate_published(title, found.published), published_numbers(title, found.published)
