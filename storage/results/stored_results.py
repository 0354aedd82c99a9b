"""Read stored results, complete or partial, for plots and summaries; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import select

from engine.experiments.registry import get_kind
from engine.kind import FinishedPoint
from engine.result import PointResult
from schemas.seed_plan import read_seed_plan
from schemas.submission import ReusedTraining
from storage.database.engine import Database, Session
from storage.database.tables import PointRow, RunRow
from storage.experiments.find import get_experiment
from storage.experiments.points import finished_points
from storage.files.artifacts import find_artifact
from storage.files.blobs import BlobStore
from storage.results.metrics import read_metrics


class StoredPlotInput:
    """`engine.kind.PlotInput` that reads from the store. Raises NotFound and UnreadableRow."""

    def __init__(self, db: Database, blobs: BlobStore, experiment_id: str) -> None:
        self._db, self._blobs, self._id = db, blobs, experiment_id
        with db.read() as session:
            row = get_experiment(session, experiment_id)
            self.kind = get_kind(row.kind)
            self.title = row.name or self.kind.title
            self.is_complete = row.status.is_terminal
            self.seed_plan = read_seed_plan(row.seed_plan)
            self._num_seeds = len(row.seeds)
            self.read_files: set[str] = set()
            """Digests of the files that were read so far"""
            self.points: Sequence[FinishedPoint] = finished_points(session, experiment_id)

    @cached_property
    def summary(self) -> Sequence[PointResult]:
        return self.kind.summarize(self.points)

    def has_all_seeds(self, indices: Iterable[int]) -> bool:
        """Whether every submitted seed has finished at each of these points."""
        return all(len(self.points[index].results) == self._num_seeds for index in indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        found: dict[int, dict[int, list[tuple[int, float | None]]]] = {}
        with self._db.read() as session:
            for row in read_metrics(session, experiment_id=self._id, names=[name]):
                found.setdefault(row.point, {}).setdefault(row.seed, []).append(
                    (row.step, row.value)
                )
        return found

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        with self._db.read() as session:
            query = (
                select(RunRow.id)
                .join(PointRow, PointRow.id == RunRow.point_id)
                .where(RunRow.experiment_id == self._id, PointRow.index == point_index)
            )
            row = find_artifact(session, list(session.scalars(query)), name, seed)
        if row is None:
            return None
        self.read_files.add(row.sha256)
        return self._blobs.read(row.sha256)


def require_readable(session: Session, experiment_id: str) -> None:
    """Raises NotFound, and UnreadableRow where the experiment, a point or a run is damaged."""
    get_experiment(session, experiment_id).require_readable()
    for table in (PointRow, RunRow):
        for row in session.scalars(select(table).where(table.experiment_id == experiment_id)):
            row.require_readable()


def summarize_experiment(source: StoredPlotInput) -> dict[str, Any]:
    """The body of `GET /experiments/{id}/result`."""
    points = [result.model_dump(mode="json") for result in source.summary]
    reused = [
        ReusedTraining(point=point.index, seed=result.seed, run_id=result.reused_from).model_dump(
            mode="json"
        )
        for point in source.points
        for result in point.results
        if result.reused_from
    ]
    seeds = {result.seed for point in source.points for result in point.results}
    return {"kind": source.kind.name, "points": points, "seeds": len(seeds), "reused": reused}
