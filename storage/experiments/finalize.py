"""Finalize an experiment whose last run has ended: store its summary and the numbers that lists
show, release checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session

from runtime.fault_points import reach
from runtime.log_once import log_once
from storage.database.engine import Database
from storage.database.tables import ExperimentRow
from storage.experiments.answers import fill_in_answers, find_answers, store_answers
from storage.experiments.find import get_experiment
from storage.experiments.locks import lock_experiment
from storage.files.blobs import BlobStore
from storage.files.retention import delete_unreferenced, release_checkpoints
from storage.results.stored_results import StoredPlotInput, summarize_experiment


def finalize(db: Database, blobs: BlobStore, experiment_id: str) -> bool:
    """Store the summary and delete the checkpoints that the experiment does not keep.

    False, and nothing changed, where the experiment is not terminal, already has a summary or was
    reopened meanwhile.
    """
    with db.read() as session:
        row = get_experiment(session, experiment_id)
        if not row.status.is_terminal or row.summary is not None:
            return False
    summary = summarize_experiment(StoredPlotInput(db, blobs, experiment_id))
    answers = find_answers(row.kind, summary["points"])
    reach("summary.1")
    with db.write() as session:
        if lock_experiment(session, experiment_id).last_event != row.last_event:
            return False  # the experiment was reopened: this summary is outdated
        stored = _store_summary(session, experiment_id, summary)
        if stored:
            store_answers(session, experiment_id, answers)
        released = release_checkpoints(session, row) if stored else []
    reach("summary.2")
    delete_unreferenced(db, blobs, released)
    return stored


def finalize_all(db: Database, blobs: BlobStore) -> None:
    """Finalize every terminal experiment without a summary; a failure skips that experiment.

    Also store the numbers of results that an earlier version stored, some at a time.
    """
    fill_in_answers(db)
    last = ""
    while True:
        with db.read() as session:
            unfinished = experiments_without_summary(session, after=last)
        if not unfinished:
            return
        for experiment_id in unfinished:
            with log_once(f"experiment {experiment_id}: its summary could not be made"):
                finalize(db, blobs, experiment_id)
        last = unfinished[-1]


def experiments_without_summary(session: Session, limit: int = 50, after: str = "") -> list[str]:
    """Ids, in order and greater than `after`, of terminal experiments without a summary."""
    query = (
        select(ExperimentRow.id)
        .where(
            ExperimentRow.finished_at.is_not(None),
            ExperimentRow.summary.is_(None),
            ExperimentRow.hidden_at.is_(None),
            ExperimentRow.id > after,
        )
        .order_by(ExperimentRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def _store_summary(session: Session, experiment_id: str, summary: Mapping[str, Any]) -> bool:
    """Store the summary of a terminal experiment once; False where it is already stored."""
    stored = session.execute(
        update(ExperimentRow)
        .where(
            ExperimentRow.id == experiment_id,
            ExperimentRow.finished_at.is_not(None),
            ExperimentRow.summary.is_(None),
        )
        .values(summary=dict(summary))
    )
    return bool(stored.rowcount)
