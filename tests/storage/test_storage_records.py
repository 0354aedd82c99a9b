"""Events, metrics, files, trainings, keys, lists: what the store keeps, and when it lets go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from schemas.status import ExperimentStatus
from storage.database.cursors import decode_cursor, encode_cursor
from storage.errors import InvalidCursor, InvalidTransition, KeyTaken, NotFound
from storage.experiments.delete import delete_experiment
from storage.experiments.find import find_reusable, get_experiment, list_experiments
from storage.experiments.idempotency import find_response, store_response
from storage.files.artifacts import list_artifacts, referenced_blobs, register_artifact
from storage.files.blobs import BlobStore, StoredBlob
from storage.files.retention import sweep_orphans
from storage.files.trainings import find_training, register_training
from storage.results.events import append_event, list_events, newest_events
from storage.results.metrics import read_metrics, write_metrics
from storage.runs.resources import list_runs
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def put_artifact(
    store: Store, run_id: str, fence: int, blob: StoredBlob, **changes: Any
) -> str | None:
    given: dict[str, Any] = {
        "role": "artifact",
        "name": "map.npz",
        "seed": 0,
        "epoch": None,
        **changes,
    }
    with store.db.write() as session:
        return register_artifact(
            session,
            run_id=run_id,
            fence=fence,
            media_type="application/octet-stream",
            blob=blob,
            **given,
        )


def interrupted(store: Store, experiment_id: str) -> None:
    with store.db.write() as session:
        append_event(session, experiment_id, "training.note", {})
        raise InterruptedError


def running(store: Store) -> tuple[str, str, int]:
    experiment_id, (run_id,) = store.submit()
    return experiment_id, run_id, store.claim().fence


def test_events_have_no_gaps_however_many_write_at_once(store: Store) -> None:
    experiment_id, _ = store.submit()

    def write(number: int) -> list[int]:
        sequences = []
        for step in range(15):
            with store.db.write() as session:
                sequences.append(
                    append_event(session, experiment_id, "training.note", {"at": [number, step]})
                )
        return sequences

    with ThreadPoolExecutor(6) as pool:
        told = sorted(sequence for mine in pool.map(write, range(6)) for sequence in mine)
    with store.db.read() as session:
        events = list_events(session, experiment_id, 0, 1_000)
    assert [event.sequence for event in events] == list(range(1, 92))
    assert told == list(range(2, 92))


def test_the_newest_events_come_without_those_that_would_drown_them(store: Store) -> None:
    experiment_id, _ = store.submit()
    with store.db.write() as session:
        for step in range(10):
            append_event(session, experiment_id, "run.progress", {"completed": step})
            append_event(session, experiment_id, "training.note", {"step": step})
    with store.db.read() as session:
        found = newest_events(session, experiment_id, 3, without="run.progress")
    assert [(event.name, event.data["step"]) for event in found] == [
        ("training.note", at) for at in (9, 8, 7)
    ]


def test_an_event_of_a_transaction_that_fails_takes_no_number(store: Store) -> None:
    experiment_id, _ = store.submit()
    with pytest.raises(InterruptedError):
        interrupted(store, experiment_id)
    with store.db.write() as session:
        assert append_event(session, experiment_id, "training.note", {}) == 2


def test_a_metric_written_again_replaces_the_first(store: Store) -> None:
    experiment_id, run_id, fence = running(store)
    for values in (
        [
            (0, "train_loss", 1, 0.5),
            (0, "train_loss", 2, 0.4),
            (1, "train_loss", 1, 0.6),
            (0, "accuracy", 1, None),
        ],
        [(0, "train_loss", 2, 9.0), (0, "train_loss", 2, 0.3)],
    ):
        with store.db.write() as session:
            assert write_metrics(session, run_id, fence, values)
    with store.db.read() as session:
        found = read_metrics(session, experiment_id=experiment_id)
        named = read_metrics(session, run_id=run_id, names=["accuracy"])
    assert [(row.seed, row.name, row.step, row.value) for row in found] == [
        (0, "accuracy", 1, None),
        (0, "train_loss", 1, 0.5),
        (0, "train_loss", 2, 0.3),
        (1, "train_loss", 1, 0.6),
    ]
    assert named == [found[0]]


def test_of_resume_state_the_newest_two_generations_stay(store: Store) -> None:
    _, run_id, fence = running(store)
    for generation in range(4):
        blob = StoredBlob(f"{generation}" * 64, 1)
        assert put_artifact(
            store, run_id, fence, blob, role="resume", name="state", epoch=generation
        )
    with store.db.read() as session:
        assert [row.epoch for row in list_artifacts(session, run_id, "resume")] == [2, 3]


def test_an_artifact_of_the_same_name_and_seed_is_replaced(store: Store) -> None:
    _, run_id, fence = running(store)
    for digest in ("a", "b"):
        assert put_artifact(store, run_id, fence, StoredBlob(digest * 64, 1))
    assert put_artifact(store, run_id, fence, StoredBlob("c" * 64, 1), seed=1)
    with store.db.read() as session:
        assert [row.sha256[0] for row in list_artifacts(session, run_id, "artifact")] == ["b", "c"]


def test_a_file_goes_with_the_last_experiment_that_speaks_of_it(
    store: Store, blobs: BlobStore, blob: StoredBlob
) -> None:
    own = blobs.put(b"of the first alone")
    experiments = []
    for _ in range(2):
        experiment_id, run_id, fence = running(store)
        assert put_artifact(store, run_id, fence, blob)
        if not experiments:
            assert put_artifact(store, run_id, fence, own, name="own.npz")
        store.finish(run_id, fence)
        experiments.append(experiment_id)
    for experiment_id, freed in zip(experiments, ([own], [blob]), strict=True):
        for dry_run in (True, False):
            with store.db.write() as session:
                told, digests = delete_experiment(session, experiment_id, dry_run=dry_run)
            assert told.bytes == sum(file.num_bytes for file in freed)
            assert digests == ([] if dry_run else [file.sha256 for file in freed])
        with store.db.read() as session, pytest.raises(NotFound):
            get_experiment(session, experiment_id)
    with store.db.read() as session:
        assert referenced_blobs(session, [own.sha256, blob.sha256]) == set()


def test_the_sweep_takes_old_files_that_no_row_speaks_of(
    store: Store, blobs: BlobStore, blob: StoredBlob
) -> None:
    _, run_id, fence = running(store)
    assert put_artifact(store, run_id, fence, blob)
    orphan = blobs.put(b"of a worker that was killed before it told of it")
    assert sweep_orphans(store.db, blobs) == 0
    assert sweep_orphans(store.db, blobs, older_than_seconds=-1) == 1
    assert blobs.path(blob.sha256).exists()
    assert not blobs.path(orphan.sha256).exists()


def test_an_experiment_under_way_is_not_deleted(store: Store) -> None:
    experiment_id, _, _ = running(store)
    with pytest.raises(InvalidTransition, match="running"), store.db.write() as session:
        delete_experiment(session, experiment_id, dry_run=False)


def test_what_has_failed_or_was_cancelled_is_not_reused(store: Store) -> None:
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


def test_a_finished_training_is_found_by_its_digest_and_seed(store: Store) -> None:
    runs = []
    for number in range(2):
        experiment_id, run_id, fence = running(store)
        with store.db.write() as session:
            assert register_training(
                session,
                digest="d" * 64,
                spec_digest="f" * 64,
                seed=0,
                run_id=run_id,
                fence=fence,
                result={"number": number},
            )
        store.finish(run_id, fence)
        runs.append((experiment_id, run_id))
    with store.db.write() as session:
        newest = find_training(session, "d" * 64, 0)
        own = find_training(session, "d" * 64, 0, prefer_run=runs[0][1])
        assert newest is not None
        assert own is not None
        assert (newest.result["number"], own.result["number"]) == (1, 0)
        assert find_training(session, "d" * 64, 1) is None
        for experiment_id, _ in runs:
            delete_experiment(session, experiment_id, dry_run=False)
        assert find_training(session, "d" * 64, 0) is None


def test_a_key_keeps_its_first_answer(store: Store) -> None:
    with store.db.write() as session:
        assert find_response(session, "key", "a" * 64) is None
        store_response(session, "key", "a" * 64, "exp_1", 201)
    with store.db.read() as session:
        same, other = (find_response(session, "key", digest * 64) for digest in "ab")
    assert same is not None
    assert other is not None
    assert (same.experiment_id, same.status_code, same.same_body) == ("exp_1", 201, True)
    assert other.same_body is False


def test_of_many_that_use_one_key_at_once_one_is_stored(store: Store) -> None:
    def answer(number: int) -> bool:
        try:
            with store.db.write() as session:
                store_response(session, "key", "a" * 64, f"exp_{number}", 201)
        except KeyTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(answer, range(6))) == 1


def test_pages_hold_every_row_once(store: Store) -> None:
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


def test_a_cursor_comes_back_as_it_was_and_no_other_text_is_one(store: Store) -> None:
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


def test_a_reader_cannot_write_where_the_database_can_tell(store: Store) -> None:
    if not store.db.is_sqlite:
        pytest.skip("readers and writers share their connections on Postgres")
    experiment_id, _ = store.submit()
    with pytest.raises(OperationalError, match="readonly"), store.db.read() as session:
        append_event(session, experiment_id, "training.note", {})
