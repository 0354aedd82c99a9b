"""Work that changes its owner: every table, in one transaction, claimable by the new owner."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import inspect, select, text
from sqlmodel import SQLModel

from schemas.audit import Action
from storage.access.audit import list_entries
from storage.access.hand_over import NAMES, count_work, hand_over
from storage.access.ownership import NOBODY, OWNED_TABLES, Viewer, reading_as_owner
from storage.database.engine import database_now
from storage.database.tables import (
    ApiKeyRow,
    AuditRow,
    DatasetRow,
    ExperimentRow,
    IdempotencyRow,
    RunRow,
    WeightsRow,
)
from storage.errors import NameTaken
from storage.files.datasets import get_dataset
from storage.runs.claim_order import claim_group_of
from storage.runs.placement import Needs
from tests.storage.conftest import Store

NEEDS = Needs("cpu", 1 << 30, "site=basement")


def add_files(store: Store, owner: str, *names: str, content: str = "a") -> None:
    """A data set for each name, a checkpoint and an idempotency key of `owner`."""
    with store.db.for_viewer(Viewer(owner)).write() as session:
        common: dict[str, Any] = {"num_bytes": 1, "created_at": database_now(session)}
        for name in names:
            session.add(
                DatasetRow(
                    name=name, title=name, shape=[1, 2, 2], num_classes=2, train_size=4,
                    test_size=2, sha256=content * 64, **common,
                )
            )  # fmt: skip
        session.add(WeightsRow(id=f"wts_{content}", tensors={}, sha256=content * 64, **common))
        session.add(
            IdempotencyRow(
                key="once", body_sha256="0" * 64, experiment_id="exp_1", status_code=201,
                created_at=common["created_at"],
            )
        )  # fmt: skip


def owners_of(store: Store, table: type[SQLModel]) -> list[str]:
    with store.db.read() as session:
        return sorted(session.scalars(select(inspect(table).local_table.c.owner)))


def test_every_table_with_an_owner_is_handed_over() -> None:
    owned = {
        mapper.class_
        for mapper in SQLModel._sa_registry.mappers
        if "owner" in mapper.local_table.columns
    }
    assert set(NAMES) == owned - {ApiKeyRow, AuditRow}
    assert set(OWNED_TABLES) == set(NAMES) - {RunRow}


@pytest.mark.parametrize("source", [NOBODY, "ada"])
def test_all_work_becomes_the_other_owners_and_is_claimed_for_them(
    store: Store, source: str
) -> None:
    _, first = store.submit([(0,), (1,)], owner=source, needs=NEEDS)
    store.submit(owner=source)
    store.submit(owner="eve")
    add_files(store, source, "digits")
    expected = {
        "experiments": 2, "runs": 3, "data sets": 1, "checkpoints": 1, "idempotency keys": 1,
    }  # fmt: skip
    with store.db.write() as session:
        assert count_work(session, source) == expected
        assert hand_over(session, source, "ben") == expected
        assert count_work(session, source) == {}
        assert count_work(session, "ben") == expected
    assert {store.run(run_id).claim_group for run_id in first} == {claim_group_of("ben", NEEDS)}
    assert owners_of(store, ExperimentRow) == ["ben", "ben", "eve"]
    with store.db.read() as session:
        (entry, *_), _ = list_entries(session, limit=10, action=Action.HANDED_OVER)
    assert entry.target == "ben"
    assert entry.detail is not None
    assert "2 experiments, 3 runs, 1 data sets" in entry.detail
    owners = [store.claim(device_class="cpu", labels={"site": "basement"}).experiment_owner]
    owners += [store.claim(device_class="cpu", labels={"site": "basement"}).experiment_owner]
    assert sorted(owners) == ["ben", "eve"]


def test_a_run_that_is_executed_keeps_reading_its_owners_rows(store: Store) -> None:
    _, (run_id,) = store.submit(owner="ada")
    add_files(store, "ada", "digits")
    store.claim()
    with store.db.write() as session:
        hand_over(session, "ada", "ben")
    with reading_as_owner(store.db, run_id) as session:
        assert get_dataset(session, "digits") is not None


def test_different_data_sets_of_one_name_are_reported_before_anything_changes(
    store: Store,
) -> None:
    store.submit(owner="ada")
    add_files(store, "ada", "digits", "faces", "letters")
    add_files(store, "ben", "digits", "letters", content="b")
    with pytest.raises(NameTaken, match="named digits, letters;"), store.db.write() as session:
        hand_over(session, "ada", "ben")
    assert owners_of(store, ExperimentRow) == ["ada"]
    assert owners_of(store, DatasetRow) == ["ada", "ada", "ada", "ben", "ben"]
    assert owners_of(store, WeightsRow) == ["ada", "ben"]


def test_what_both_owners_have_is_kept_once(store: Store) -> None:
    add_files(store, "ada", "digits")
    add_files(store, "ben", "digits")
    with store.db.write() as session:
        hand_over(session, "ada", "ben")
    for table in (DatasetRow, WeightsRow, IdempotencyRow):
        assert owners_of(store, table) == ["ben"]


def test_an_experiment_that_is_being_imported_stays_until_it_is_complete(store: Store) -> None:
    hidden, _ = store.submit(owner="ada")
    store.submit(owner="ada")
    with store.db.write() as session:
        session.get_one(ExperimentRow, hidden).hidden_at = database_now(session)
    with store.db.write() as session:
        assert hand_over(session, "ada", "ben") == {"experiments": 1, "runs": 1}
    assert store.experiment(hidden).owner == "ada"
    assert owners_of(store, RunRow) == ["ada", "ben"]


def test_a_failure_in_the_middle_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.submit(owner="ada")
    monkeypatch.setattr("storage.access.hand_over.record", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), store.db.write() as session:
        hand_over(session, "ada", "ben")
    with store.db.read() as session:
        assert session.execute(text("SELECT owner FROM run")).scalars().all() == ["ada"]
