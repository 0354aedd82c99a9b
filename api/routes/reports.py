"""Reports of experiments, as one file that needs nothing beside it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Response

from api.dependencies import StateDep
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.reports.content import MAX_PARTS, collect_report
from api.reports.writers import MEDIA_TYPES, ReportFormat, write_report
from schemas.problems import ProblemCode

router = Router(tags=["results"])

REPORTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string"}}
            for media_type in MEDIA_TYPES.values()
        }
    }
}


@router.get(
    "/experiments/{experiment_id}/report.{report_format}",
    response_class=Response,
    responses=REPORTS,
)
def write_experiment_report(
    experiment_id: str,
    written_as: Annotated[ReportFormat, Path(alias="report_format")],
    state: StateDep,
    also: Annotated[
        list[Annotated[str, Query(max_length=40)]] | None,
        Query(
            description="Further experiments of the same report, in this order.",
            max_length=MAX_PARTS - 1,
        ),
    ] = None,
) -> Response:
    """The question, the answer, verdicts, figures, tables, and how to run it again.

    One file without references to others: HTML or Markdown with the figures inside, or PDF. 409
    while no run has finished; `X-Partial: true` while runs are under way.
    """
    identifiers = list(dict.fromkeys([experiment_id, *(also or ())]))
    report = collect_report(state.db, state.blobs, identifiers)
    if not any(part.answers for part in report.parts):
        detail = "no run has finished, so there is nothing to report yet"
        raise ProblemRaised(409, ProblemCode.NOT_READY, detail, headers={"Retry-After": "2"})
    headers = {"Content-Disposition": f'inline; filename="{experiment_id}-report.{written_as}"'}
    if not all(part.is_complete for part in report.parts):
        headers["X-Partial"] = "true"
    content = write_report(report, written_as)
    return Response(content, media_type=MEDIA_TYPES[written_as], headers=headers)
