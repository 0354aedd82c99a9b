"""What is kept, and for how long: checkpoints of a finished experiment, files that no row speaks of any more.

A file may belong to many rows, of many experiments; the rows are the count of its references.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice

from sqlalchemy import delete, select
from sqlmodel import Session

from schemas.submission import Keep
from storage.database.engine import Database
from storage.database.tables import ArtifactRow, ExperimentRow, MetricRow, RunRow
from storage.files.artifacts import referenced_blobs
from storage.files.blobs import ASIDE, BlobStore

ORPHAN_SECONDS = 600.0
"""Younger files are spared: their row may be on its way."""
PAGE = 500


def release_checkpoints(session: Session, experiment: ExperimentRow) -> list[str]:
    """Forget the checkpoints that the experiment does not keep; returns the digests of their files."""
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
        )
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .where(RunRow.experiment_id == experiment.id, ArtifactRow.role == "checkpoint")
    )
    best = _best_seeds(session, experiment.id) if keep is Keep.BEST else set()
    released = [
        (row.id, row.sha256)
        for row in session.execute(query)
        if keep is Keep.NONE
        or row.name != "theta_T"
        or (keep is Keep.BEST and (row.run_id, row.seed) not in best)
    ]
    session.execute(
        delete(ArtifactRow).where(ArtifactRow.id.in_([row_id for row_id, _ in released]))
    )
    return [sha256 for _, sha256 in released]


def _best_seeds(session: Session, experiment_id: str) -> set[tuple[str, int]]:
    """(run, seed) of each point whose last test accuracy is the highest; of equal ones the first."""
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
    """Bytes by name of the old files that no row speaks of, and of what interrupted writes have left."""
    orphans: dict[str, int] = {}
    old = blobs.list_older_than(older_than_seconds, time.time())
    while page := dict(islice(old, PAGE)):
        with db.read() as session:
            known = referenced_blobs(session, [name.removesuffix(ASIDE) for name in page])
        for name, size in page.items():
            if name.endswith(ASIDE) and name.removesuffix(ASIDE) in known:
                blobs.put_back(name.removesuffix(ASIDE))  # whoever set it aside has died
            elif name not in known:
                orphans[name] = size
    return orphans


def delete_unreferenced(db: Database, blobs: BlobStore, names: Iterable[str]) -> int:
    """Delete those of the files that no row speaks of; returns how many.

    A row may be written at any moment. The file is set aside first and the rows are asked again: whoever has written one
    before finds it put back, and whoever writes one later finds it missing and stores it anew.
    """
    deleted = 0
    rest = iter(dict.fromkeys(names))
    while page := list(islice(rest, PAGE)):
        leftovers = [name for name in page if len(name) != 64]
        with db.read() as session:
            orphans = set(page) - set(leftovers) - referenced_blobs(session, page)
        aside = [name for name in orphans if blobs.set_aside(name)]
        with db.read() as session:
            wanted = referenced_blobs(session, aside)
        for name in aside:
            if name in wanted:
                blobs.put_back(name)
            else:
                blobs.delete(name + ASIDE)
        for name in leftovers:
            blobs.delete(name)
        deleted += len(aside) - len(wanted) + len(leftovers)
    return deleted


def sweep_orphans(
    db: Database, blobs: BlobStore, *, older_than_seconds: float = ORPHAN_SECONDS
) -> int:
    """Delete what `find_orphans` finds; returns how many files."""
    return delete_unreferenced(db, blobs, find_orphans(db, blobs, older_than_seconds))
