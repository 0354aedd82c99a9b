"""Find, list, reuse and delete experiments; read-only sessions."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from schemas.status import ExperimentStatus
from storage.database.cursors import decode_cursor, encode_cursor
from storage.errors import InvalidCursor, InvalidTransition
from storage.experiments.delete import delete_experiment
from storage.experiments.find import find_reusable
from storage.experiments.listing import list_experiments
from storage.results.events import append_event
from storage.runs.resources import list_runs
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def test_a_running_experiment_cannot_be_deleted(store: Store) -> None:
    experiment_id, _, _ = store.start_run()
    with pytest.raises(InvalidTransition, match="running"), store.db.write() as session:
        delete_experiment(session, experiment_id, dry_run=False)


def test_a_failed_experiment_is_not_reused(store: Store) -> None:
    def reusable(digest: str) -> str | None:
        with store.db.read() as session:
            row = find_reusable(session, digest)
        return None if row is None else row.id

    first, (run_id,) = store.submit()
    digest = store.experiment(first).digest
    assert reusable(digest) == first
    store.fail(run_id, store.claim().fence)
    assert reusable(digest) is None
    second, (run_id,) = store.submit()
    store.finish(run_id, store.claim().fence)
    assert reusable(digest) == second
    assert store.experiment(second).status is ExperimentStatus.SUCCEEDED
    assert reusable("0" * 64) is None


def test_pages_list_every_row_once(store: Store) -> None:
    made = [store.submit(name=f"number {number}")[0] for number in range(7)]
    found, cursor = [], None
    while True:
        with store.db.read() as session:
            page, cursor = list_experiments(session, limit=3, cursor=cursor)
        found += [row.id for row in page]
        if not found[7:]:
            store.submit(name="meanwhile")
        if cursor is None:
            break
    assert found == made[::-1]
    experiment_id, run_ids = store.submit(tuple((seed,) for seed in range(5)))
    with store.db.read() as session:
        first, cursor = list_runs(session, experiment_id, limit=4)
        rest, end = list_runs(session, experiment_id, limit=4, cursor=cursor)
    assert [row.id for row in [*first, *rest]] == run_ids
    assert end is None


def test_the_axes_of_a_sweep_keep_their_order(store: Store) -> None:
    sweep = {"model.width": [20, 10], "epochs": [1], "batch_size": [64]}
    assert list(store.experiment(store.submit(sweep=sweep)[0]).sweep) == list(sweep)


def test_a_cursor_decodes_to_its_keys_and_other_text_is_refused(store: Store) -> None:
    assert decode_cursor(encode_cursor("exp_1", 3), str, int) == ["exp_1", 3]
    for text in (
        "garbage",
        "",
        "WzFd",
        encode_cursor(1),
        encode_cursor("a", "b"),
        encode_cursor("\0"),
        "é",
        "[[[",
    ):
        with pytest.raises(InvalidCursor), store.db.read() as session:
            list_experiments(session, limit=3, cursor=text)


def test_a_read_session_cannot_write_on_sqlite(store: Store) -> None:
    if not store.db.is_sqlite:
        pytest.skip("readers and writers share their connections on Postgres")
    experiment_id, _ = store.submit()
    with pytest.raises(OperationalError, match="readonly"), store.db.read() as session:
        append_event(session, experiment_id, "training.note", {})
