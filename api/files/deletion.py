"""Deletes data sets and uploaded checkpoints."""

from __future__ import annotations

from collections.abc import Callable

from api.dependencies import State
from schemas.audit import Action
from schemas.resources import FileDeletion
from storage.access.audit import record
from storage.database.engine import Session
from storage.experiments.locks import lock_queue
from storage.files.datasets import delete_dataset
from storage.files.retention import delete_unreferenced
from storage.files.weights import delete_weights


def remove_dataset(state: State, name: str, *, dry_run: bool) -> FileDeletion:
    """Delete a registered data set, and its file unless another row refers to it.

    Raises NotFound, and InvalidTransition where queued or running runs need it.
    """
    return _delete(
        state, lambda session: delete_dataset(session, name, dry_run=dry_run), "data set"
    )


def remove_checkpoint(state: State, checkpoint_id: str, *, dry_run: bool) -> FileDeletion:
    """As `remove_dataset`, for an uploaded checkpoint."""
    return _delete(
        state, lambda session: delete_weights(session, checkpoint_id, dry_run=dry_run), "checkpoint"
    )


def _delete(
    state: State, delete: Callable[[Session], tuple[FileDeletion, list[str]]], what: str
) -> FileDeletion:
    with state.db.write() as session:
        lock_queue(session)  # requests that add runs lock experiments first, then files
        deletion, files = delete(session)
        if deletion.deleted:
            record(session, Action.DELETED, deletion.id, f"{what}, {deletion.bytes} bytes")
    delete_unreferenced(state.db, state.blobs, files)
    return deletion
