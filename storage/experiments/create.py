"""Store a submission: experiment, points, queued runs and the first event."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from runtime.tracing import trace_parent
from schemas.events import EventName
from schemas.submission import Submission
from storage.access.ownership import owner_of
from storage.database.engine import database_now
from storage.database.ids import new_id
from storage.database.tables import EventRow, ExperimentRow, PointRow, RunRow
from storage.errors import InvalidTransition
from storage.runs.claim_order import claim_group_of, rank_of
from storage.runs.placement import NO_NEEDS, Needs

# Statements are faster than rows of the session, and SQLite's other writers wait meanwhile.
_INSERT_EXPERIMENT, _INSERT_EVENT, _INSERT_POINTS, _INSERT_RUNS = (
    insert(table.__table__) for table in (ExperimentRow, EventRow, PointRow, RunRow)
)
# The database takes the list apart: a submission may have millions of seeds.
_INSERT_POINT_SEEDS = {
    "sqlite": text(
        "INSERT INTO point_seed (point_id, seed) SELECT :point_id, value FROM json_each(:seeds)"
    ),
    "postgresql": text(
        "INSERT INTO point_seed (point_id, seed) SELECT :point_id, CAST(value AS bigint) "
        "FROM json_array_elements_text(CAST(:seeds AS json)) AS value"
    ),
}


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """A point to be stored."""

    index: int
    values: Mapping[str, Any]
    spec: Mapping[str, Any]
    digest: str
    shared_checkpoints: Mapping[str, Any] | None = None
    """Moments at which its trainings keep the weights for other points of the experiment"""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to be stored."""

    point_index: int
    seeds: tuple[int, ...]
    needs: Needs = NO_NEEDS
    training: str | None = None
    """Digest of a training, with the seeds, that runs of other points use too"""
    seconds: float = 0.0
    """By estimate; 0: unknown"""


def create_experiment(
    session: Session,
    *,
    submission: Submission,
    spec: Mapping[str, Any],
    digest: str,
    points: Sequence[PlannedPoint],
    runs: Sequence[PlannedRun],
) -> ExperimentRow:
    """Store a submission in the session's transaction.

    Returns the experiment's row as stored; it is not attached to the session.
    """
    now, plan = database_now(session), submission.seed_plan
    experiment_id = new_id("exp")
    values = {
        "id": experiment_id,
        "owner": owner_of(session),
        "kind": str(spec["kind"]),
        "name": submission.name,
        "labels": submission.labels,
        "priority": submission.priority,
        "spec": dict(spec),
        "sweep": submission.sweep,
        "seeds": submission.first_seeds,
        "seed_plan": None if plan is None else plan.model_dump(mode="json"),
        "claims": [claim.to_json() for claim in submission.claims],
        "execution": submission.execution.model_dump(mode="json"),
        "max_seconds": submission.max_seconds,
        "keep": submission.keep,
        "reuse": submission.reuse,
        "digest": digest,
        "num_points": len(points),
        "last_event": 1,
        "created_at": now,
    }
    submitted = {
        "experiment_id": experiment_id,
        "sequence": 1,
        "name": EventName.EXPERIMENT_SUBMITTED,
        "data": {"points": len(points), "runs": len(runs)},
        "at": now,
    }
    session.execute(_INSERT_EXPERIMENT, values)
    session.execute(_INSERT_EVENT, submitted)
    point_ids = add_points(session, experiment_id, points)
    add_runs(session, experiment_id, point_ids, runs, submission.priority, values["owner"])
    return ExperimentRow(**values)


def add_points(
    session: Session, experiment_id: str, points: Sequence[PlannedPoint]
) -> dict[int, str]:
    """Store points; returns their ids by index."""
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("pt"),
            "experiment_id": experiment_id,
            "index": point.index,
            "values": dict(point.values),
            "spec": dict(point.spec),
            "digest": point.digest,
            "shared_checkpoints": point.shared_checkpoints,
        }
        for point in points
    ]
    if rows:
        session.execute(_INSERT_POINTS, rows)
    return {row["index"]: row["id"] for row in rows}


def add_runs(
    session: Session,
    experiment_id: str,
    point_ids: Mapping[int, str],
    runs: Sequence[PlannedRun],
    priority: int,
    owner: str,
) -> None:
    """Store queued runs. owner: the experiment's."""
    now, parent = database_now(session), trace_parent()
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("run"),
            "experiment_id": experiment_id,
            "point_id": point_ids[run.point_index],
            "seeds": list(run.seeds),
            "owner": owner,
            "device_class": run.needs.device_class,
            "memory_bytes": run.needs.memory_bytes,
            "requires": run.needs.requires,
            "claim_group": claim_group_of(owner, run.needs),
            "training": run.training,
            "estimated_seconds": run.seconds,
            "rank": rank_of(now, priority),
            "priority": priority,
            "trace_parent": parent,
            "created_at": now,
        }
        for run in runs
    ]
    if rows:
        session.execute(_INSERT_RUNS, rows)
        add_point_seeds(session, [(row["point_id"], row["seeds"]) for row in rows])


def add_point_seeds(session: Session, runs: Iterable[tuple[str, Sequence[int]]]) -> None:
    """Store that these seeds have a run; (point id, seeds) of each run.

    Raises InvalidTransition where a seed has a run already.
    """
    rows = [{"point_id": point_id, "seeds": json.dumps(list(seeds))} for point_id, seeds in runs]
    if not rows:
        return
    try:
        session.execute(_INSERT_POINT_SEEDS[session.get_bind().dialect.name], rows)
    except IntegrityError:
        raise InvalidTransition("another request has just added some of these seeds") from None
