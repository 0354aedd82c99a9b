"""Derive an experiment's status from its runs, and file webhook deliveries when it ends."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.seed_plan import read_seed_plan
from schemas.status import ExperimentStatus, RunStatus, derive_experiment_status
from schemas.webhooks import Webhook
from storage.database.engine import database_now
from storage.database.json_columns import readable
from storage.database.tables import ExperimentRow, RunRow
from storage.delivery.webhooks import add_deliveries, add_webhook, list_webhooks
from storage.experiments.locks import lock_experiment
from storage.experiments.resources import to_resource
from storage.results.events import append_event


def refresh_status(session: Session, experiment_id: str) -> ExperimentStatus:
    """Derive and store the status; called in the transaction of every transition of a run.

    The transition that ends the last run, or that ends a plan of seeds, also appends
    `experiment.finished` and files the webhook deliveries, once.
    """
    session.flush()
    stored = select(
        ExperimentRow.started_at, ExperimentRow.finished_at, ExperimentRow.seed_plan
    ).where(ExperimentRow.id == experiment_id)
    started_at, finished_at, plan = session.execute(stored).one()
    status = derive_experiment_status(
        count_runs(session, experiment_id), read_seed_plan(readable(plan))
    )
    values: dict[str, Any] = {"status": status}
    has_ended = status.is_terminal and finished_at is None
    if status is not ExperimentStatus.QUEUED and started_at is None:
        values["started_at"] = database_now(session)
    if has_ended:
        values["finished_at"] = database_now(session)
        append_event(session, experiment_id, EventName.EXPERIMENT_FINISHED, {"status": status})
    session.execute(update(ExperimentRow).where(ExperimentRow.id == experiment_id).values(**values))
    if has_ended:
        _file_deliveries(session, experiment_id)
    return status


def count_runs(session: Session, experiment_id: str) -> dict[RunStatus, int]:
    """The number of the experiment's runs in each status that occurs."""
    query = (
        select(RunRow.status, func.count())
        .where(RunRow.experiment_id == experiment_id)
        .group_by(RunRow.status)
    )
    return dict(session.execute(query).all())


def _file_deliveries(session: Session, experiment_id: str) -> None:
    webhooks = list_webhooks(session, experiment_id)
    if webhooks:
        row = session.get_one(ExperimentRow, experiment_id, populate_existing=True)
        add_deliveries(session, webhooks, to_resource(session, row))


def attach_webhook(session: Session, experiment_id: str, webhook: Webhook) -> None:
    """Store the webhook; files its delivery at once where the experiment has already ended.

    Locks the row, so that a concurrent transaction that ends the experiment either commits first
    or sees the webhook. Raises NotFound.
    """
    locked = lock_experiment(session, experiment_id)
    added = add_webhook(session, experiment_id, webhook)
    if locked.status.is_terminal:
        add_deliveries(session, [added], to_resource(session, locked))
