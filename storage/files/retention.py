"""Delete released checkpoints and files that no row refers to.

Several rows, also of several experiments, may refer to one file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlmodel import Session

from engine.spec import KeptCheckpoints
from schemas.submission import Keep
from storage.database.engine import Database
from storage.database.json_columns import readable
from storage.database.tables import ArtifactRow, ExperimentRow, MetricRow, PointRow, RunRow
from storage.files.artifacts import referenced_blobs
from storage.files.blobs import ASIDE, BlobStore
from storage.files.in_use import find_needed_checkpoints

ORPHAN_SECONDS = 600.0
"""Younger files are kept: their row may not be committed yet"""
PAGE = 500


def release_checkpoints(session: Session, experiment: ExperimentRow) -> list[str]:
    """Delete the rows of checkpoints that `keep` excludes; returns the digests of their files.

    Those of the field `checkpoints` of a spec stay, as they were asked for one by one. A checkpoint
    from which a queued or running run starts stays until the experiment is deleted.
    """
    keep = Keep(experiment.keep)
    if keep is Keep.ALL:
        return []
    query = (
        select(
            ArtifactRow.id,
            ArtifactRow.sha256,
            ArtifactRow.run_id,
            ArtifactRow.name,
            ArtifactRow.seed,
            RunRow.point_id,
        )
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .where(RunRow.experiment_id == experiment.id, ArtifactRow.role == "checkpoint")
    )
    best = _best_seeds(session, experiment.id) if keep is Keep.BEST else set()
    needed = find_needed_checkpoints(session, experiment)
    points = select(PointRow.id, PointRow.spec).where(PointRow.experiment_id == experiment.id)
    asked = {point: _list_asked(readable(spec)) for point, spec in session.execute(points)}
    released = [
        (row.id, row.sha256)
        for row in session.execute(query)
        if row.id not in needed
        and row.name not in asked[row.point_id]
        and (
            keep is Keep.NONE
            or row.name != "theta_T"
            or (keep is Keep.BEST and (row.run_id, row.seed) not in best)
        )
    ]
    session.execute(
        delete(ArtifactRow).where(ArtifactRow.id.in_([row_id for row_id, _ in released]))
    )
    return [sha256 for _, sha256 in released]


def _list_asked(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the field `checkpoints`; none where the spec is damaged."""
    try:
        return KeptCheckpoints.model_validate(spec.get("checkpoints", {})).names
    except ValidationError:
        return ()


def _best_seeds(session: Session, experiment_id: str) -> set[tuple[str, int]]:
    """(run, seed) with the highest last test accuracy of each point; of equal ones the first."""
    query = (
        select(RunRow.point_id, RunRow.id, MetricRow.seed, MetricRow.value)
        .join(MetricRow, MetricRow.run_id == RunRow.id)
        .where(RunRow.experiment_id == experiment_id, MetricRow.name == "test_accuracy")
        .order_by(MetricRow.seed, MetricRow.step)
    )
    last = {(point, run, seed): value or 0.0 for point, run, seed, value in session.execute(query)}
    best: dict[str, tuple[float, str, int]] = {}
    for (point, run, seed), value in last.items():
        if point not in best or value > best[point][0]:
            best[point] = (value, run, seed)
    return {(run, seed) for _, run, seed in best.values()}


def find_orphans(
    db: Database, blobs: BlobStore, older_than_seconds: float = ORPHAN_SECONDS
) -> dict[str, int]:
    """Sizes, by name, of old files that no row refers to, partial files included."""
    orphans: dict[str, int] = {}
    old = blobs.list_older_than(older_than_seconds, time.time())
    while page := dict(islice(old, PAGE)):
        with db.read() as session:
            known = referenced_blobs(session, [name.removesuffix(ASIDE) for name in page])
        for name, size in page.items():
            if name.endswith(ASIDE) and name.removesuffix(ASIDE) in known:
                blobs.put_back(name.removesuffix(ASIDE))  # the process that set it aside has died
            elif name not in known:
                orphans[name] = size
    return orphans


def delete_unreferenced(db: Database, blobs: BlobStore, names: Iterable[str]) -> int:
    """Delete those of the files that no row refers to; returns how many.

    A row may be inserted at any moment. So each file is set aside first and the rows are read
    again: for a row inserted before, the file is put back; a later writer finds the file missing
    and stores it again.
    """
    deleted = 0
    rest = iter(dict.fromkeys(names))
    while page := list(islice(rest, PAGE)):
        partial = [name for name in page if len(name) != 64]
        with db.read() as session:
            orphans = set(page) - set(partial) - referenced_blobs(session, page)
        aside = [name for name in orphans if blobs.set_aside(name)]
        with db.read() as session:
            referenced = referenced_blobs(session, aside)
        for name in aside:
            if name in referenced:
                blobs.put_back(name)
            else:
                blobs.delete(name + ASIDE)
        for name in partial:
            blobs.delete(name)
        deleted += len(aside) - len(referenced) + len(partial)
    return deleted


def sweep_orphans(
    db: Database, blobs: BlobStore, *, older_than_seconds: float = ORPHAN_SECONDS
) -> int:
    """Delete the files that `find_orphans` finds; returns how many."""
    return delete_unreferenced(db, blobs, find_orphans(db, blobs, older_than_seconds))
