"""The names that the script of the curves gives to an experiment's lines."""

from __future__ import annotations

from typing import Any

from engine.labels import label_points
from schemas.resources import Experiment
from storage.database.engine import Session
from storage.experiments.points import point_values


def curve_series(session: Session, experiment: Experiment, name: str) -> dict[str, Any]:
    """Id, name and names of the points, as JSON values; `name` is empty for a single experiment."""
    values = point_values(session, experiment.id)
    return {"id": experiment.id, "name": name, "points": label_points(values)}
