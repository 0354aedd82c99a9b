"""The names that the script of the curves gives to the lines of an experiment or of a run."""

from __future__ import annotations

from typing import Any

from engine.labels import label_points
from schemas.resources import Experiment, Run
from storage.database.engine import Session
from storage.experiments.points import point_values


def curve_series(session: Session, experiment: Experiment, name: str) -> dict[str, Any]:
    """Path, name and names of the points, as JSON values; `name` is empty for one experiment."""
    return _series(session, f"/experiments/{experiment.id}", experiment.id, name)


def run_series(session: Session, run: Run) -> dict[str, Any]:
    """The same of one run: its point has the name that it has among those of its experiment."""
    return _series(session, f"/runs/{run.id}", run.experiment_id, "")


def _series(session: Session, path: str, experiment_id: str, name: str) -> dict[str, Any]:
    points = label_points(point_values(session, experiment_id))
    return {"path": path, "name": name, "points": points}
