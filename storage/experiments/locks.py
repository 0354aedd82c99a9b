"""Locks of transactions that clients request. On SQLite write transactions run one at a time.

A transaction takes its locks in this order, so that none waits for another in a circle:
`lock_queue`, the experiment's change lock, rows of runs, the experiment's row. Workers' transitions
take the last two only: they lock a run, then append an event to its experiment.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlmodel import Session

from storage.database.tables import ExperimentRow
from storage.errors import NotFound

QUEUE_LOCK = 0x71756575
"""Key of the advisory lock of `lock_queue`"""


def lock_queue(session: Session) -> None:
    """Let one transaction at a time count queued runs or equal submissions and then add its own."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(select(func.pg_advisory_xact_lock(QUEUE_LOCK)))


def lock_import(session: Session, sha256: str) -> None:
    """Let one transaction at a time look for an imported zip archive and then store it."""
    if session.get_bind().dialect.name != "sqlite":
        key = func.hashtextextended(sha256, 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


def lock_changes(session: Session, experiment_id: str) -> ExperimentRow:
    """The row as last committed; other changes of the experiment wait until the transaction ends.

    Workers' transitions do not wait: for changes that lock queued or running runs. Raises NotFound.
    """
    if session.get_bind().dialect.name != "sqlite":
        key = func.hashtextextended(experiment_id, 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))
    return _get(session, experiment_id, lock_row=False)


def lock_experiment(session: Session, experiment_id: str) -> ExperimentRow:
    """As `lock_changes`; workers' transitions wait too, once they append an event.

    For changes that lock no queued or running run. Raises NotFound.
    """
    lock_changes(session, experiment_id)
    return _get(session, experiment_id, lock_row=True)


def _get(session: Session, experiment_id: str, *, lock_row: bool) -> ExperimentRow:
    row = session.get(
        ExperimentRow, experiment_id, populate_existing=True, with_for_update=lock_row or None
    )
    if row is None or row.hidden_at is not None:
        raise NotFound(f"there is no experiment {experiment_id[:80]!r}")
    return row
