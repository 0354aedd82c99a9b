"""Artifacts, resume state, trainings, and when stored files are deleted."""

from __future__ import annotations

from typing import Any

import pytest

from storage.errors import NotFound
from storage.experiments.delete import delete_experiment
from storage.experiments.find import get_experiment
from storage.files.artifacts import list_artifacts, referenced_blobs, register_artifact
from storage.files.blobs import BlobStore, StoredBlob
from storage.files.retention import sweep_orphans
from storage.files.trainings import find_trainings, register_training
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def put_artifact(
    store: Store, run_id: str, fence: int, blob: StoredBlob, **changes: Any
) -> str | None:
    values: dict[str, Any] = {
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
            **values,
        )


def test_the_newest_two_generations_of_resume_state_are_kept(store: Store) -> None:
    _, run_id, fence = store.start_run()
    for generation in range(4):
        blob = StoredBlob(f"{generation}" * 64, 1)
        assert put_artifact(
            store, run_id, fence, blob, role="resume", name="state", epoch=generation
        )
    with store.db.read() as session:
        assert [row.epoch for row in list_artifacts(session, run_id, "resume")] == [2, 3]


def test_an_artifact_of_the_same_name_and_seed_is_replaced(store: Store) -> None:
    _, run_id, fence = store.start_run()
    for digest in ("a", "b"):
        assert put_artifact(store, run_id, fence, StoredBlob(digest * 64, 1))
    assert put_artifact(store, run_id, fence, StoredBlob("c" * 64, 1), seed=1)
    with store.db.read() as session:
        assert [row.sha256[0] for row in list_artifacts(session, run_id, "artifact")] == ["b", "c"]


def test_a_file_is_deleted_with_the_last_experiment_that_refers_to_it(
    store: Store, blobs: BlobStore, blob: StoredBlob
) -> None:
    own = blobs.put(b"only of the first experiment")
    experiments: list[str] = []
    for _ in range(2):
        experiment_id, run_id, fence = store.start_run()
        assert put_artifact(store, run_id, fence, blob)
        if not experiments:
            assert put_artifact(store, run_id, fence, own, name="own.npz")
        store.finish(run_id, fence)
        experiments.append(experiment_id)
    for experiment_id, freed in zip(experiments, ([own], [blob]), strict=True):
        for dry_run in (True, False):
            with store.db.write() as session:
                deletion, digests = delete_experiment(session, experiment_id, dry_run=dry_run)
            assert deletion.bytes == sum(file.num_bytes for file in freed)
            assert digests == ([] if dry_run else [file.sha256 for file in freed])
        with store.db.read() as session, pytest.raises(NotFound):
            get_experiment(session, experiment_id)
    with store.db.read() as session:
        assert referenced_blobs(session, [own.sha256, blob.sha256]) == set()


def test_the_sweep_deletes_old_files_without_a_row(
    store: Store, blobs: BlobStore, blob: StoredBlob
) -> None:
    _, run_id, fence = store.start_run()
    assert put_artifact(store, run_id, fence, blob)
    orphan = blobs.put(b"of a worker that was killed before it stored the row")
    assert sweep_orphans(store.db, blobs) == 0
    assert sweep_orphans(store.db, blobs, older_than_seconds=-1) == 1
    assert blobs.path(blob.sha256).exists()
    assert not blobs.path(orphan.sha256).exists()


def test_a_finished_training_is_found_by_its_digest_and_seed(store: Store) -> None:
    runs = []
    for number in range(2):
        experiment_id, run_id, fence = store.start_run()
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
        newest = find_trainings(session, "d" * 64, 0)
        own = find_trainings(session, "d" * 64, 0, prefer_run=runs[0][1])
        assert [row.result["number"] for row in newest] == [1, 0]
        assert [row.result["number"] for row in own] == [0, 1]
        assert find_trainings(session, "d" * 64, 1) == []
        for experiment_id, _ in runs:
            delete_experiment(session, experiment_id, dry_run=False)
        assert find_trainings(session, "d" * 64, 0) == []
