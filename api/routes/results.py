"""The result of an experiment, and its export."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from api.dependencies import StateDep
from api.experiments.export import export
from api.http.problems import ProblemRaised
from api.http.request_work import Router, counted
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
        raise ProblemRaised(
            409,
            ProblemCode.NOT_READY,
            f"the experiment is {row.status}; its result is ready when its last run has ended",
            headers={"Retry-After": "2"},
        )
    # The status may be terminal before the worker has stored the summary.
    summary = row.summary or summarize_experiment(
        StoredPlotInput(state.db, state.blobs, experiment_id)
    )
    try:
        return Result.model_validate(summary)
    except ValidationError as error:
        raise row.unreadable_error("summary") from error


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
    headers = {"Content-Disposition": f'attachment; filename="{experiment_id}.zip"'}
    if not source.is_complete:
        headers["X-Partial"] = "true"
    parts = counted(export(state.db, state.blobs, experiment_id, source, with_files=files))
    return StreamingResponse(parts, media_type="application/zip", headers=headers)
