"""Migration 0014 gives each seed of a point one run."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from storage.database.engine import Database
from storage.database.tables import ExperimentRow, PointSeedRow, RunRow

NOW = "2026-01-02 03:04:05"


@pytest.fixture
def before(fresh_database: Database) -> Database:
    """A database at revision 0013 with a finished experiment and one under way.

    Both have a point with doubled runs.
    """
    fresh_database.upgrade()
    fresh_database.downgrade("0013")
    with fresh_database.write() as session:

        def insert(table: str, **values: Any) -> None:
            columns = ", ".join(f'"{name}"' for name in values)
            places = ", ".join(f":{name}" for name in values)
            session.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), values)

        for status, finished in (("succeeded", NOW), ("running", None)):
            experiment_id, point_id = f"exp_{status}", f"pt_{status}"
            insert(
                "experiment",
                id=experiment_id,
                owner="",
                kind="train",
                spec="{}",
                seeds="[0, 1, 2]",
                digest=status,
                status=status,
                num_points=1,
                summary='{"kind": "train"}',
                created_at=NOW,
                finished_at=finished,
            )
            insert(
                "point",
                id=point_id,
                experiment_id=experiment_id,
                index=0,
                values="{}",
                spec="{}",
                digest=status,
            )
            runs = [("a", "[0]", "succeeded"), ("b", "[1, 2]", "failed")]
            runs += [("c", "[2, 1]", "succeeded"), ("d", "[0]", "succeeded")]
            for name, seeds, run_status in runs:
                insert(
                    "run",
                    id=f"{status}_{name}",
                    experiment_id=experiment_id,
                    point_id=point_id,
                    seeds=seeds,
                    status=run_status,
                    owner="",
                    created_at=NOW,
                )
    return fresh_database


def test_a_doubled_run_of_a_finished_experiment_is_deleted_and_its_summary_is_dropped(
    before: Database,
) -> None:
    before.upgrade()
    with before.read() as session:
        runs = set(session.scalars(select(RunRow.id)))
        finished = session.get_one(ExperimentRow, "exp_succeeded")
        unfinished = session.get_one(ExperimentRow, "exp_running")
    assert runs == {"succeeded_a", "succeeded_c", *(f"running_{name}" for name in "abcd")}
    assert finished.summary is None
    assert unfinished.summary == {"kind": "train"}


def test_every_seed_with_a_run_is_stored_once(before: Database) -> None:
    before.upgrade()
    with before.read() as session:
        found = session.execute(select(PointSeedRow.point_id, PointSeedRow.seed)).all()
    points = ("pt_running", "pt_succeeded")
    assert sorted(found) == [(point, seed) for point in points for seed in range(3)]


def test_the_migration_can_be_undone(before: Database) -> None:
    before.upgrade()
    before.downgrade("0013")
    with before.read() as session:
        assert not sa.inspect(session.connection()).has_table("point_seed")
