"""Submits an experiment: idempotency, plan, quotas, reuse or creation, wake-up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from api.dependencies import State
from api.experiments.described_nets import with_described_nets
from api.experiments.plan import Plan, plan_submission
from api.experiments.quotas import refuse_if_any
from api.experiments.show import show
from api.http.json_body import parse_object
from api.http.problems import ProblemRaised
from engine.errors import FieldError
from runtime.fault_points import reach
from runtime.logs import hide_secrets
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Experiment
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments import idempotency
from storage.experiments.create import PlannedPoint, create_experiment
from storage.experiments.find import get_experiment
from storage.experiments.locks import lock_queue
from storage.experiments.resources import to_new_resource
from storage.experiments.status import attach_webhook
from storage.files.in_use import hold_files


@dataclass(frozen=True, slots=True)
class IdempotentBody:
    """A body with its Idempotency-Key, which is None where the request has none."""

    key: str | None
    sha256: str


def submit(state: State, body: bytes, idempotency_key: str | None) -> Experiment:
    """Store the submission and wake workers, or return an identical experiment as `reused`.

    A repeated Idempotency-Key returns the experiment of its first response.
    Raises InvalidSpec, problems, and InvalidTransition where a file that it uses was just deleted;
    then nothing is stored.
    """
    if idempotency_key is not None and hide_secrets(idempotency_key) != idempotency_key:
        detail = "the header Idempotency-Key holds a secret; send a random value instead"
        raise ProblemRaised(422, ProblemCode.INVALID_REQUEST, detail)
    keyed = IdempotentBody(idempotency_key, hashlib.sha256(body).hexdigest())
    # Planning takes the longest. It is done before the write transaction, which others wait for.
    plan_or_earlier = with_described_nets(state, lambda: _plan(state, keyed, body))
    if isinstance(plan_or_earlier, Experiment):
        return plan_or_earlier
    plan, points = plan_or_earlier
    storage_errors = state.quotas.find_storage_errors(state.owner)

    with state.db.write() as session, restricted_to_owner(session):
        lock_queue(session)
        earlier = _find_earlier_response(state, session, keyed)
        if earlier is not None:
            return earlier
        hold_files(session, plan.files.used)
        row = plan.find_reusable(session)
        reused = row is not None
        if row is None:
            row = _create(state, session, plan, points, storage_errors)
        if plan.submission.webhook is not None:
            attach_webhook(session, row.id, plan.submission.webhook)
        record(session, Action.SUBMITTED, row.id, "reused" if reused else None)
        _store_response(session, keyed, row, reused)
    reach("accept.1")

    if not reused:
        state.wake_ups.send(plan.needs)
    # After the commit, so that other writers do not wait for these queries.
    with state.db.read() as session:
        if reused:
            return show(state, session, get_experiment(session, row.id), reused=True)
        return to_new_resource(
            session, row, plan.needs, limit_per_owner=state.settings.limit_running_per_owner
        )


def _plan(
    state: State, keyed: IdempotentBody, body: bytes
) -> Experiment | tuple[Plan, list[PlannedPoint]]:
    """The plan and its points, or the experiment that the key's first request made."""
    with state.db.read() as session, restricted_to_owner(session):
        earlier = _find_earlier_response(state, session, keyed)
        if earlier is not None:
            return earlier
        plan = plan_submission(session, state.settings, state.blobs, parse_object(body))
        return plan, plan.planned_points()


def _find_earlier_response(
    state: State, session: Session, keyed: IdempotentBody
) -> Experiment | None:
    """The experiment of the first response to the key; None for a new key.

    Raises a 422 problem where the first request had another body.
    """
    if keyed.key is None:
        return None
    known = idempotency.find_response(session, keyed.key, keyed.sha256)
    if known is None:
        return None
    if not known.same_body:
        detail = "this Idempotency-Key was used with another body; use a new key"
        raise ProblemRaised(422, ProblemCode.IDEMPOTENCY_MISMATCH, detail)
    row = get_experiment(session, known.experiment_id)
    return show(state, session, row, reused=known.status_code == 200)


def _store_response(
    session: Session, keyed: IdempotentBody, row: ExperimentRow, reused: bool
) -> None:
    if keyed.key is not None:
        status = 200 if reused else 201
        idempotency.store_response(session, keyed.key, keyed.sha256, row.id, status)


def _create(
    state: State,
    session: Session,
    plan: Plan,
    points: list[PlannedPoint],
    storage_errors: list[FieldError],
) -> ExperimentRow:
    """Store the experiment with its points and queued runs. Raises a problem over a quota."""
    queue_errors = state.quotas.find_queue_errors(session, state.owner, len(plan.runs))
    refuse_if_any(storage_errors, queue_errors)
    return create_experiment(
        session,
        submission=plan.submission,
        spec=plan.base,
        digest=plan.digest,
        points=points,
        runs=plan.runs,
    )
