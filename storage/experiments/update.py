"""Update the name, labels and priority of an experiment."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import Session

from schemas.resources import ExperimentUpdate
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow, RunRow
from storage.experiments.locks import lock_changes
from storage.runs.claim_order import PRIORITY_STEP_SECONDS


def update_experiment(
    session: Session, experiment_id: str, change: ExperimentUpdate
) -> ExperimentRow:
    """Change the fields that the body names. Raises NotFound."""
    row = lock_changes(session, experiment_id)
    if change.priority is not None:
        session.execute(
            update(RunRow)
            .where(RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.QUEUED)
            .values(
                priority=change.priority,
                rank=RunRow.rank + (RunRow.priority - change.priority) * PRIORITY_STEP_SECONDS,
            )
        )
    for name in change.model_fields_set:
        value = getattr(change, name)
        if value is not None or name == "name":
            setattr(row, name, value)
    session.add(row)
    session.flush()
    return row
