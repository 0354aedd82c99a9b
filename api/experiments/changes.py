"""Changes a stored experiment: update, cancel, retry, delete. `extend` has a module of its own."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from api.dependencies import State
from api.experiments.quotas import require_quota
from api.experiments.show import show
from api.http.json_body import parse_object
from engine.errors import InvalidSpec, field_errors
from schemas.audit import Action
from schemas.resources import Deletion, Experiment, ExperimentUpdate
from storage.access.audit import record
from storage.experiments.cancel import cancel_experiment
from storage.experiments.delete import delete_experiment
from storage.experiments.hidden import remove_hidden
from storage.experiments.locks import lock_queue
from storage.experiments.retry_extend import retry_experiment
from storage.experiments.update import relabel_experiment, update_experiment
from storage.files.retention import delete_unreferenced


def update(state: State, experiment_id: str, body: bytes) -> Experiment:
    """Change the fields that the body names. Raises InvalidSpec and NotFound."""
    document = parse_object(body)
    try:
        change = ExperimentUpdate.model_validate(document)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False), document, model=ExperimentUpdate)
        raise InvalidSpec(found) from None
    with state.db.write() as session:
        row = update_experiment(session, experiment_id, change)
        record(session, Action.CHANGED, experiment_id, ", ".join(sorted(change.model_fields_set)))
        return show(state, session, row)


def relabel(state: State, experiment_id: str, labels: Mapping[str, str | None]) -> None:
    """Set these labels and remove those of None. Raises NotFound and InvalidTransition."""
    with state.db.write() as session:
        relabel_experiment(session, experiment_id, labels)
        record(session, Action.CHANGED, experiment_id, "labels")


def cancel(state: State, experiment_id: str) -> Experiment:
    """Cancel queued runs at once and running ones soon. Raises NotFound and InvalidTransition."""
    with state.db.write() as session:
        row = cancel_experiment(session, experiment_id)
        record(session, Action.CANCELLED, experiment_id)
        return show(state, session, row)


def retry(state: State, experiment_id: str) -> Experiment:
    """Queue the failed runs again and wake workers.

    Raises NotFound, InvalidTransition where no run has failed, and a problem over a quota.
    """
    with state.db.write() as session:
        lock_queue(session)
        row, needs = retry_experiment(session, experiment_id)
        # The runs are queued already, so the quota counts them.
        require_quota(state, session, row, num_runs=0)
        record(session, Action.RETRIED, experiment_id)
        experiment = show(state, session, row)
    state.wake_ups.send(needs)
    return experiment


def delete(state: State, experiment_id: str, *, dry_run: bool) -> Deletion:
    """Delete a terminal experiment and the files that nothing else refers to.

    Raises NotFound and InvalidTransition.
    """
    with state.db.write() as session:
        lock_queue(session)  # a submission may start from a checkpoint of the experiment
        deletion, unreferenced = delete_experiment(session, experiment_id, dry_run=dry_run)
        if not dry_run:
            record(session, Action.DELETED, experiment_id)
    if not dry_run:
        remove_hidden(state.db, experiment_id)
    delete_unreferenced(state.db, state.blobs, unreferenced)
    return deletion
