"""An experiment as the API returns it, with its owner's place in the queue."""

from __future__ import annotations

from api.dependencies import State
from schemas.resources import Experiment
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments.resources import to_resource


def show(state: State, session: Session, row: ExperimentRow, *, reused: bool = False) -> Experiment:
    """The resource of the row; the limit of running runs per owner counts in its queue position."""
    return to_resource(
        session, row, reused=reused, limit_per_owner=state.settings.limit_running_per_owner
    )
