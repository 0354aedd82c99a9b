"""Read stored results, complete or partial, for plots and summaries; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from engine.experiments.registry import get_kind
from engine.kind import FinishedPoint, PlotInput
from engine.own_claims.claim import OwnClaim
from engine.plot_numbers import ChosenInput
from engine.result import PointResult
from engine.sweep_plots import place_results
from schemas.seed_plan import read_seed_plan
from schemas.submission import ReusedTraining
from storage.database.engine import Database, Session
from storage.database.tables import PointRow, RunRow
from storage.errors import NotFound
from storage.experiments.find import get_experiment
from storage.experiments.points import finished_points, point_specs, point_values
from storage.files.artifacts import find_artifact
from storage.files.blobs import BlobStore
from storage.results.metrics import read_metrics


class StoredPlotInput:
    """`engine.kind.PlotInput` that reads from the store, each part when it is first needed.

    Raises NotFound and UnreadableRow.
    """

    def __init__(self, db: Database, blobs: BlobStore, experiment_id: str) -> None:
        self._db, self._blobs, self._id = db, blobs, experiment_id
        with db.read() as session:
            row = get_experiment(session, experiment_id)
            self.kind = get_kind(row.kind)
            self.title = row.name or self.kind.title
            self.is_complete = row.status.is_terminal
            self.seed_plan = read_seed_plan(row.seed_plan)
            self.claims = [OwnClaim.model_validate(claim) for claim in row.claims]
            self._num_seeds = len(row.seeds)
            self._stored = None if row.summary is None else row.summary["points"]
            self.read_files: set[str] = set()
            """Digests of the files that were read so far"""

    @cached_property
    def points(self) -> Sequence[FinishedPoint]:
        with self._db.read() as session:
            return finished_points(session, self._id)

    @cached_property
    def values(self) -> Sequence[Mapping[str, Any]]:
        with self._db.read() as session:
            return point_values(session, self._id)

    @cached_property
    def specs(self) -> Sequence[Mapping[str, Any]]:
        with self._db.read() as session:
            return point_specs(session, self._id)

    @cached_property
    def summary(self) -> Sequence[PointResult]:
        """As stored, where the experiment has ended and the kind's result is still the same."""
        try:
            return [self.kind.point_result.model_validate(one) for one in self._stored or ()] or (
                self.summarize()
            )
        except ValidationError:
            return self.summarize()

    def summarize(self) -> Sequence[PointResult]:
        """From the results of the runs."""
        return self.kind.summarize(self.points)

    @cached_property
    def point_results(self) -> Sequence[Mapping[str, Any]]:
        """Of an experiment that has ended as stored, so that no run's result is read again."""
        if self._stored is not None:
            return list(self._stored)
        return [result.model_dump(mode="json") for result in self.summary]

    def choose(self, indices: Sequence[int]) -> PlotInput:
        return _ChosenStoredInput(self, indices)

    def require_readable(self) -> None:
        """Read every result now.

        Raises UnreadableRow where one is damaged, NotFound where the experiment was deleted since.
        """
        if not self.points or len(self.points) != len(self.values):
            raise NotFound(f"experiment {self._id} was deleted")

    def has_all_seeds(self, indices: Iterable[int]) -> bool:
        """Whether every submitted seed has finished at each of these points."""
        return all(len(self.points[index].results) == self._num_seeds for index in indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        return self._read_metric(name, None)

    def _read_metric(
        self, name: str, indices: Sequence[int] | None
    ) -> dict[int, dict[int, list[tuple[int, float | None]]]]:
        found: dict[int, dict[int, list[tuple[int, float | None]]]] = {}
        with self._db.read() as session:
            rows = read_metrics(session, experiment_id=self._id, names=[name], indices=indices)
            for row in rows:
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


class _ChosenStoredInput(ChosenInput):
    """Reads the results and metrics of the chosen points only."""

    def __init__(self, source: StoredPlotInput, indices: Sequence[int]) -> None:
        super().__init__(source, indices)
        self._stored, self._indices = source, sorted(set(indices))

    @cached_property
    def points(self) -> Sequence[FinishedPoint]:
        with self._stored._db.read() as session:
            return finished_points(session, self._stored._id, self._indices)

    @cached_property
    def summary(self) -> Sequence[PointResult]:
        """The rows of the whole summary: a kind may compare a point with others in it."""
        results = self.point_results
        return [
            self._stored.kind.point_result.model_validate(result)
            for index, result in zip(place_results(self.values, results), results, strict=True)
            if index in self._chosen
        ]

    def choose(self, indices: Sequence[int]) -> PlotInput:
        return _ChosenStoredInput(self._stored, indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        return self._stored._read_metric(name, self._indices)


def require_readable(session: Session, experiment_id: str) -> None:
    """Raises NotFound, and UnreadableRow where the experiment, a point or a run is damaged."""
    get_experiment(session, experiment_id).require_readable()
    for table in (PointRow, RunRow):
        for row in session.scalars(select(table).where(table.experiment_id == experiment_id)):
            row.require_readable()


def summarize_experiment(source: StoredPlotInput) -> dict[str, Any]:
    """The body of `GET /experiments/{id}/result`."""
    points = [result.model_dump(mode="json") for result in source.summarize()]
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
