"""Experiments: submit, preview, list, read, change, cancel, delete."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from api.body import parse_object, read_bytes
from api.openapi_body import submission_body
from api.problems import ProblemRaised
from api.services.submissions import plan_submission, preview, require_room
from api.state import State, StateDep
from engine.errors import InvalidSpec, field_errors
from schemas.base import Page
from schemas.problems import ProblemCode
from schemas.resources import Deletion, Experiment, ExperimentUpdate, Run
from schemas.status import ExperimentStatus
from schemas.submission import Preview
from storage import experiments, keys, run_resources

router = APIRouter(tags=["experiments"])


async def body_bytes(request: Request) -> bytes:
    limit: int = request.app.state.richregime.settings.max_body_bytes
    return await read_bytes(request, limit)


BodyDep = Annotated[bytes, Depends(body_bytes)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="The same key and body give the first answer again."),
]


@router.post("/experiments", status_code=201, openapi_extra=submission_body())
def submit_experiment(
    body: BodyDep,
    state: StateDep,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Experiment:
    """Submit an experiment. 201 with `Location`; 200 with `reused: true` where an identical one has succeeded or is
    under way and the body does not say `"reuse": false`."""
    document = parse_object(body)
    digest = hashlib.sha256(body).hexdigest()
    runs: list[tuple[str, str]] = []
    with state.db.write() as session:
        if idempotency_key is not None:
            known = keys.find_answer(session, idempotency_key, digest)
            if known is not None:
                return _replay(session, known, response)
        plan = plan_submission(session, state.settings, document)
        reusable = experiments.find_reusable(session, plan.digest) if plan.submission.reuse else None
        status = 200 if reusable else 201
        if reusable is None:
            require_room(session, state.settings, plan)
            row = experiments.create_experiment(
                session,
                submission=plan.submission,
                spec=_base_spec(document),
                digest=plan.digest,
                points=plan.planned_points(),
                runs=plan.runs,
            )
            rows, _ = run_resources.list_runs(session, row.id, limit=len(plan.runs))
            runs = [(run.id, run.queue) for run in rows]
        else:
            row = reusable
        if idempotency_key is not None:
            keys.store_answer(session, idempotency_key, digest, row.id, status)
        answer = experiments.to_resource(session, row, reused=reusable is not None)
    state.bell.ring(runs)
    response.status_code = status
    response.headers["Location"] = f"/experiments/{answer.id}"
    return answer


def _base_spec(document: dict[str, Any]) -> dict[str, Any]:
    """The expanded form before the sweep."""
    from engine.experiments.registry import parse_spec

    return parse_spec(document["spec"]).model_dump(mode="json")


def _replay(session: Any, known: keys.StoredAnswer, response: Response) -> Experiment:
    if not known.same_body:
        raise ProblemRaised(
            422,
            ProblemCode.IDEMPOTENCY_MISMATCH,
            "this Idempotency-Key was used with another body; use a new key",
        )
    row = experiments.get_experiment(session, known.experiment_id)
    response.status_code = known.status_code
    response.headers["Location"] = f"/experiments/{row.id}"
    return experiments.to_resource(session, row, reused=known.status_code == 200)


@router.post("/experiments/preview", openapi_extra=submission_body())
def preview_experiment(body: BodyDep, state: StateDep) -> Preview:
    """What a submission would do: points, runs, cost, what would be reused, warnings. Starts nothing."""
    document = parse_object(body)
    with state.db.read() as session:
        return preview(session, plan_submission(session, state.settings, document))


@router.get("/experiments")
def list_experiments(
    state: StateDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    status: ExperimentStatus | None = None,
    label: Annotated[str | None, Query(max_length=201, description="`key` or `key:value`.")] = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[Experiment]:
    """Experiments, newest first."""
    pair = None
    if label is not None:
        key, colon, value = label.partition(":")
        pair = (key, value if colon else None)
    with state.db.read() as session:
        rows, following = experiments.list_experiments(
            session, limit=limit, cursor=cursor, kind=kind, status=status, label=pair, name=name
        )
        return Page[Experiment](items=experiments.to_resources(session, rows), next_cursor=following)


@router.get("/experiments/{experiment_id}")
def get_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """One experiment with its status, progress and place in the queue."""
    with state.db.read() as session:
        return experiments.to_resource(session, experiments.get_experiment(session, experiment_id))


@router.patch("/experiments/{experiment_id}")
def update_experiment(experiment_id: str, body: BodyDep, state: StateDep) -> Experiment:
    """Change the name, the labels or the priority; absent fields stay."""
    document = parse_object(body)
    try:
        change = ExperimentUpdate.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors(include_url=False), document)) from None
    with state.db.write() as session:
        row = experiments.update_experiment(session, experiment_id, change)
        return experiments.to_resource(session, row)


@router.delete("/experiments/{experiment_id}")
def delete_experiment(experiment_id: str, state: StateDep, dry_run: bool = False) -> Deletion:
    """Delete a terminal experiment with its files; `dry_run` only tells the bytes."""
    with state.db.write() as session:
        told, freed = experiments.delete_experiment(session, experiment_id, dry_run=dry_run)
    for sha256 in freed:
        state.blobs.delete(sha256)
    return told


@router.post("/experiments/{experiment_id}/cancel")
def cancel_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """Cancel it in whatever state; what its runs have logged so far stays."""
    with state.db.write() as session:
        row = experiments.cancel_experiment(session, experiment_id)
        return experiments.to_resource(session, row)


@router.get("/experiments/{experiment_id}/runs")
def list_runs(experiment_id: str, state: StateDep, limit: Limit = 50, cursor: Cursor = None) -> Page[Run]:
    """The runs of an experiment, in the order they were made."""
    with state.db.read() as session:
        experiments.get_experiment(session, experiment_id)
        rows, following = run_resources.list_runs(session, experiment_id, limit=limit, cursor=cursor)
        return Page[Run](items=run_resources.run_resources(session, rows), next_cursor=following)


__all__ = ["BodyDep", "Cursor", "Limit", "State", "router"]
