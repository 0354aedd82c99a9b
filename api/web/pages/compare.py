"""The page `/compare`: experiments side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.experiments import side_by_side
from api.experiments.difference_tables import METHOD
from api.experiments.side_by_side import LETTERS, MAX_COMPARED
from api.http.request_work import Router
from api.web.comparison_tables import metric_rows, name_quantities, spec_rows, sum_up
from api.web.curve_series import curve_series
from api.web.templating import render
from engine.experiments.registry import get_kind
from schemas.resources import Experiment
from storage.experiments import find, listing
from storage.experiments.resources import to_resources

router = Router(include_in_schema=False)

MAX_CHOICES = 100
"""Most experiments that can be chosen from"""

IdsQuery = Annotated[list[str] | None, Query(alias="id", max_length=MAX_COMPARED)]


@router.get("/compare")
def compare_experiments(
    request: Request,
    state: StateDep,
    id_list: IdsQuery = None,
    quantity: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """The fields and the results in which the experiments differ, and their curves."""
    ids = list(dict.fromkeys(id_list or ()))
    with state.db.read() as session:
        comparison = side_by_side.compare_experiments(session, ids)
        found = to_resources(session, [find.get_experiment(session, one) for one in ids])
        newest, _ = listing.list_experiments(session, limit=MAX_CHOICES)
        others = [one for one in to_resources(session, newest) if one.id not in ids]
        series = [
            curve_series(session, one, letter) for letter, one in zip(LETTERS, found, strict=False)
        ]
    quantities = name_quantities(comparison)
    chosen = quantity if quantity in quantities else next(iter(quantities), None)
    return render(
        request,
        "compare.html",
        experiments=found,
        others=_by_kind(others, [one.kind for one in found]) if len(ids) < MAX_COMPARED else [],
        letters=LETTERS,
        without=[_compare_address([other for other in ids if other != one]) for one in ids],
        swapped=_compare_address(ids[::-1]) if len(ids) == 2 else None,
        spec_rows=spec_rows(comparison),
        quantities=quantities,
        quantity=chosen,
        method=METHOD,
        files=_files_address(ids),
        sentences=sum_up(comparison, chosen) if chosen else [],
        metric_rows=metric_rows(comparison, chosen) if chosen else [],
        series=series,
    )


def _by_kind(
    experiments: Sequence[Experiment], first: Sequence[str]
) -> list[tuple[str, list[Experiment]]]:
    """(title of the kind, its experiments); the kinds in `first` come first."""
    names = sorted({one.kind for one in experiments}, key=lambda name: (name not in first, name))
    return [
        (get_kind(name).title, [one for one in experiments if one.kind == name]) for name in names
    ]


def _files_address(ids: Sequence[str]) -> str:
    """The query of the tables as files."""
    return f"?{urlencode({'id': ids}, doseq=True)}"


def _compare_address(ids: Sequence[str]) -> str:
    return f"/compare?{urlencode({'id': ids}, doseq=True)}"
