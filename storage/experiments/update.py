"""Update the name, labels, priority and notes of an experiment."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import update
from sqlmodel import Session

from schemas.resources import ExperimentUpdate
from schemas.status import RunStatus
from schemas.submission import MAX_LABELS
from storage.database.tables import ExperimentRow, RunRow
from storage.errors import InvalidTransition
from storage.experiments.locks import lock_changes
from storage.runs.claim_order import PRIORITY_STEP_SECONDS

REMOVABLE = ("name", "notes")
"""Fields that null removes; empty notes are none"""


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
        if value is not None or name in REMOVABLE:
            setattr(row, name, value or None if name in REMOVABLE else value)
    session.add(row)
    session.flush()
    return row


def relabel_experiment(
    session: Session, experiment_id: str, labels: Mapping[str, str | None]
) -> ExperimentRow:
    """Set these labels and remove those of None; the others stay.

    Raises NotFound, and InvalidTransition where it would have too many labels.
    """
    row = lock_changes(session, experiment_id)
    row.labels = merge_labels(row.labels, labels)
    session.add(row)
    session.flush()
    return row


def merge_labels(old: Mapping[str, str], changed: Mapping[str, str | None]) -> dict[str, str]:
    """The labels of an experiment after a change; None removes a label.

    Raises InvalidTransition where there are too many.
    """
    merged = {**old, **changed}
    found = {key: value for key, value in merged.items() if value is not None}
    if len(found) > MAX_LABELS:
        raise InvalidTransition(
            f"the experiment would have {len(found)} labels; the limit is {MAX_LABELS}"
        )
    return found
