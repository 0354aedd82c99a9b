"""Experiments: submit, preview, list, read, change, cancel, retry, extend, delete."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import ValidationError

from api.dependencies import State, StateDep
from api.experiments import side_by_side
from api.experiments.extend import extend
from api.experiments.plan import plan_submission
from api.experiments.preview import preview
from api.experiments.quotas import refuse_any
from api.http.json_body import BodyDep, parse_object
from api.http.paging import ContainingQuery, CursorQuery, LabelQuery, LimitQuery, parse_label
from api.http.problems import ProblemRaised
from api.http.request_bodies import EXTENSION_BODY, SUBMISSION_BODY, UPDATE_BODY
from engine.errors import InvalidSpec, field_errors
from runtime.fault_points import reach
from schemas.audit import Action
from schemas.base import Page
from schemas.comparison import ExperimentComparison
from schemas.problems import ProblemCode
from schemas.resources import Deletion, Experiment, ExperimentUpdate, Run
from schemas.status import ExperimentStatus
from schemas.submission import Preview
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments import cancel, delete, find, update
from storage.experiments import idempotency as keys
from storage.experiments import retry_extend as reopening
from storage.experiments.create import create_experiment
from storage.experiments.find import find_reusable
from storage.experiments.resources import to_new_resource, to_resource, to_resources
from storage.experiments.status import attach_webhook
from storage.files.retention import delete_unreferenced
from storage.runs import resources as run_resources

router = APIRouter(tags=["experiments"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="The same key and body give the first answer again.",
    ),
]


@router.post(
    "/experiments",
    status_code=201,
    openapi_extra=SUBMISSION_BODY,
    responses={200: {"model": Experiment, "description": "An identical experiment, reused"}},
)
def submit_experiment(
    body: BodyDep, state: StateDep, response: Response, idempotency_key: IdempotencyKey = None
) -> Experiment:
    """Submit an experiment. 201 with `Location`; 200 with `reused: true` where an identical one has succeeded or is
    under way and the body does not say `"reuse": false`."""
    body_sha256 = hashlib.sha256(body).hexdigest()
    with state.db.read() as session, restricted_to_owner(session):
        replayed = _replay(state, session, idempotency_key, body_sha256, response)
        if replayed is not None:
            return replayed
        plan = plan_submission(session, state.settings, parse_object(body))
        planned_points = plan.planned_points()
    stored_errors = state.quotas.find_stored_errors(state.owner)
    needs = [run.needs for run in plan.runs]
    with state.db.write() as session, restricted_to_owner(session):
        replayed = _replay(state, session, idempotency_key, body_sha256, response)
        if replayed is not None:
            return replayed
        row = find_reusable(session, plan.digest) if plan.submission.reuse else None
        reused = row is not None
        if row is None:
            refuse_any(
                stored_errors, state.quotas.find_queue_errors(session, state.owner, len(needs))
            )
            row = create_experiment(
                session,
                submission=plan.submission,
                spec=plan.base,
                digest=plan.digest,
                points=planned_points,
                runs=plan.runs,
            )
        response.status_code = 200 if reused else 201
        if plan.submission.webhook is not None:
            attach_webhook(session, row.id, plan.submission.webhook)
        record(session, Action.SUBMITTED, row.id, "reused" if reused else None)
        if idempotency_key is not None:
            keys.store_response(session, idempotency_key, body_sha256, row.id, response.status_code)
    reach("accept.1")
    response.headers["Location"] = f"/experiments/{row.id}"
    if not reused:
        state.wake_ups.send(needs)
    with state.db.read() as session:  # what is stored is told when others may write again
        if reused:
            return _show(state, session, find.get_experiment(session, row.id), reused=True)
        return to_new_resource(
            session, row, needs, limit_per_owner=state.settings.limit_running_per_owner
        )


def _replay(
    state: State, session: Session, key: str | None, body_sha256: str, response: Response
) -> Experiment | None:
    """The answer that the key was given before; None for a fresh key."""
    known = keys.find_response(session, key, body_sha256) if key is not None else None
    if known is None:
        return None
    if not known.same_body:
        detail = "this Idempotency-Key was used with another body; use a new key"
        raise ProblemRaised(422, ProblemCode.IDEMPOTENCY_MISMATCH, detail)
    row = find.get_experiment(session, known.experiment_id)
    response.status_code = known.status_code
    response.headers["Location"] = f"/experiments/{row.id}"
    return _show(state, session, row, reused=known.status_code == 200)


@router.post("/experiments/preview", openapi_extra=SUBMISSION_BODY)
def preview_experiment(body: BodyDep, state: StateDep) -> Preview:
    """What a submission would do: points, runs, cost, what would be reused, warnings. Starts nothing."""
    refusals = state.quotas.find_stored_errors(state.owner)
    with state.db.read() as session, restricted_to_owner(session):
        plan = plan_submission(session, state.settings, parse_object(body))
        refusals += state.quotas.find_queue_errors(session, state.owner, len(plan.runs))
        return preview(session, plan, refusals)


@router.get("/experiments")
def list_experiments(
    state: StateDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    status: ExperimentStatus | None = None,
    label: LabelQuery = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
    q: ContainingQuery = None,
) -> Page[Experiment]:
    """Experiments, newest first."""
    with state.db.read() as session:
        rows, following = find.list_experiments(
            session,
            limit=limit,
            cursor=cursor,
            kind=kind,
            status=status,
            label=parse_label(label),
            name=name,
            containing=q,
        )
        limit_per_owner = state.settings.limit_running_per_owner
        found = to_resources(session, rows, limit_per_owner=limit_per_owner)
        return Page[Experiment](items=found, next_cursor=following)


@router.get("/experiments/compare")
def compare_experiments(
    state: StateDep,
    id: Annotated[
        list[str],
        Query(min_length=2, max_length=side_by_side.MAX_COMPARED, description="Experiment ids."),
    ],
    quantity: Annotated[
        str | None, Query(max_length=100, description="Only this statistic of the results.")
    ] = None,
) -> ExperimentComparison:
    """Experiments side by side: the submitted fields and the results in which they differ.

    Each difference of results is to the first experiment, with its 95 % interval.
    404 for a quantity that no result holds.
    """
    with state.db.read() as session:
        return side_by_side.compare_experiments(session, id, quantity)


@router.get("/experiments/{experiment_id}")
def get_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """One experiment with its status, progress and place in the queue."""
    with state.db.read() as session:
        return _show(state, session, find.get_experiment(session, experiment_id))


@router.patch("/experiments/{experiment_id}", openapi_extra=UPDATE_BODY)
def update_experiment(experiment_id: str, body: BodyDep, state: StateDep) -> Experiment:
    """Change the name, the labels or the priority; absent fields stay."""
    document = parse_object(body)
    try:
        change = ExperimentUpdate.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors(include_url=False), document)) from None
    with state.db.write() as session:
        row = update.update_experiment(session, experiment_id, change)
        record(session, Action.CHANGED, experiment_id, ", ".join(sorted(change.model_fields_set)))
        return _show(state, session, row)


@router.delete("/experiments/{experiment_id}")
def delete_experiment(experiment_id: str, state: StateDep, dry_run: bool = False) -> Deletion:
    """Delete a terminal experiment with its files; `dry_run` only tells the bytes."""
    with state.db.write() as session:
        told, freed = delete.delete_experiment(session, experiment_id, dry_run=dry_run)
        if not dry_run:
            record(session, Action.DELETED, experiment_id)
    delete_unreferenced(state.db, state.blobs, freed)
    return told


@router.post("/experiments/{experiment_id}/cancel")
def cancel_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """Cancel it in whatever state that is not final; what its runs have logged so far stays."""
    with state.db.write() as session:
        row = cancel.cancel_experiment(session, experiment_id)
        record(session, Action.CANCELLED, experiment_id)
        return _show(state, session, row)


@router.post("/experiments/{experiment_id}/retry")
def retry_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """Queue the failed runs again; they go on from their last checkpoint. 409 where none has failed."""
    with state.db.write() as session:
        row, runs = reopening.retry_experiment(session, experiment_id)
        _require_room(state, session, row, 0)  # those that wait again are counted
        record(session, Action.RETRIED, experiment_id)
        answer = _show(state, session, row)
    state.wake_ups.send(runs)
    return answer


@router.post("/experiments/{experiment_id}/extend", openapi_extra=EXTENSION_BODY)
def extend_experiment(experiment_id: str, body: BodyDep, state: StateDep) -> Experiment:
    """Add seeds or values of swept axes; only what is missing is run."""
    document = parse_object(body)
    with state.db.write() as session:
        row, runs = extend(
            session, state.settings, experiment_id, document, partial(_require_room, state, session)
        )
        if runs:
            record(session, Action.EXTENDED, experiment_id)
        answer = _show(state, session, row)
    state.wake_ups.send(runs)
    return answer


def _show(
    state: State, session: Session, row: ExperimentRow, *, reused: bool = False
) -> Experiment:
    return to_resource(
        session, row, reused=reused, limit_per_owner=state.settings.limit_running_per_owner
    )


def _require_room(state: State, session: Session, row: ExperimentRow, num_runs: int) -> None:
    """Its owner's, whoever asks."""
    owner = None if state.owner is None else row.owner
    refuse_any(
        state.quotas.find_stored_errors(owner),
        state.quotas.find_queue_errors(session, owner, num_runs),
    )


@router.get("/experiments/{experiment_id}/runs")
def list_runs(
    experiment_id: str, state: StateDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[Run]:
    """The runs of an experiment, in the order they were made."""
    with state.db.read() as session:
        find.get_experiment(session, experiment_id)
        rows, following = run_resources.list_runs(
            session, experiment_id, limit=limit, cursor=cursor
        )
        return Page[Run](items=run_resources.run_resources(session, rows), next_cursor=following)
