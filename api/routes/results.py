"""The result of an experiment, and its export."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from api.dependencies import StateDep
from api.experiments.answer_tables import AtQuery, answer_table, epoch_table
from api.experiments.export import export
from api.http.problems import ProblemRaised
from api.http.request_work import Router, counted
from api.http.written_tables import TABLE_RESPONSES, FormatPath, IfNoneMatch, respond_with_table
from engine.epoch_answers import read_at
from engine.experiment_titles import title_of
from schemas.problems import ProblemCode
from schemas.results import Result
from storage.experiments import find
from storage.results.stored_results import StoredPlotInput, require_readable, summarize_experiment

router = Router(tags=["results"])


@router.get("/experiments/{experiment_id}/result")
def read_result(experiment_id: str, state: StateDep) -> Result:
    """The kind's summary over the seeds.

    409 `not-ready` while the experiment runs, 500 `unreadable` where stored data is damaged.
    """
    with state.db.read() as session:
        row = find.get_experiment(session, experiment_id)
    if row.summary is None and not row.status.is_terminal:
        detail = f"the experiment is {row.status}; its result is ready when its last run has ended"
        raise _not_ready(detail)
    # The status may be terminal before the worker has stored the summary.
    summary = row.summary or summarize_experiment(
        StoredPlotInput(state.db, state.blobs, experiment_id)
    )
    try:
        return Result.model_validate(summary)
    except ValidationError as error:
        raise row.unreadable_error("summary") from error


@router.get(
    "/experiments/{experiment_id}/result.{format}",
    response_class=Response,
    responses=TABLE_RESPONSES,
)
def write_result(
    experiment_id: str,
    written_as: FormatPath,
    state: StateDep,
    at: AtQuery = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The numbers that answer the kind's question, a row per point, as CSV, LaTeX or Markdown.

    Also while it runs, with `X-Partial: true`; 409 while no run has finished.
    """
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    with state.db.read() as session:
        row = find.get_experiment(session, experiment_id)
    title = title_of(row.name, row.kind, row.spec, row.sweep)
    if at is None:
        summary = row.summary or summarize_experiment(source)
        table = answer_table(source.kind, title, summary["points"], complete=source.is_complete)
    else:
        table = epoch_table(source, title, read_at(at))
    if not table.rows and not source.is_complete:
        raise _not_ready("no run of the experiment has finished, so there is no result yet")
    numbers = table.to_numbers()
    return respond_with_table(
        table.to_text(), numbers, written_as, if_none_match, complete=source.is_complete
    )


def _not_ready(detail: str) -> ProblemRaised:
    return ProblemRaised(409, ProblemCode.NOT_READY, detail, headers={"Retry-After": "2"})


ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/experiments/{experiment_id}/export", response_class=StreamingResponse, responses=ZIP)
def export_experiment(
    experiment_id: str,
    state: StateDep,
    files: Annotated[
        bool, Query(description="Include checkpoints and artifacts, which may be large.")
    ] = False,
) -> StreamingResponse:
    """Export as a zip archive.

    It holds body, specs, manifests, metrics, result, plots, checksums and a script that runs the
    experiment again.
    """
    with state.db.read() as session:
        # Checked before the response starts: a streamed response cannot turn into an error.
        require_readable(session, experiment_id)
    source = StoredPlotInput(state.db, state.blobs, experiment_id)
    source.require_readable()
    headers = {"Content-Disposition": f'attachment; filename="{experiment_id}.zip"'}
    if not source.is_complete:
        headers["X-Partial"] = "true"
    parts = counted(export(state.db, state.blobs, experiment_id, source, with_files=files))
    return StreamingResponse(parts, media_type="application/zip", headers=headers)
