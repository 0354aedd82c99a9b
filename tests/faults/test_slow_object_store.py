"""An object store (S3) that answers late, twice, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import StorageUnavailable
from storage.files import s3 as s3_module
from storage.files.retention import sweep_orphans
from storage.files.s3 import ObjectBlobStore
from tests.api.api_server import make_settings, serve_api
from tests.api.sample_files import make_npz
from tests.faults.fake_s3 import BUCKET, FakeS3, Fault, fake_s3
from tests.faults.fault_injection import SetListener
from tests.faults.in_process_worker import SEEDS, SPEC, InProcessWorker
from tests.waiting import wait_until
from workers import patient_blobs

pytestmark = pytest.mark.xdist_group("slow_object_store")


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as made:
        yield made


@pytest.fixture
def store(s3: FakeS3, tmp_path: Path) -> ObjectBlobStore:
    return ObjectBlobStore(s3.open(), tmp_path / "cache")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_blobs, "RETRY_SECONDS", 0.1)


@pytest.mark.parametrize("fault", ["late", "lost", "refused"])
def test_a_request_whose_answer_does_not_come_is_repeated_and_counts_once(
    s3: FakeS3, store: ObjectBlobStore, tmp_path: Path, fault: Fault
) -> None:
    s3.faults["PUT"] = [fault]
    blob = store.put(b"bytes")
    assert s3.requests["PUT"] == 2
    assert list(s3.objects.values()) == [b"bytes"]
    other = ObjectBlobStore(s3.open(), tmp_path / "other")
    s3.faults["GET"] = [fault]
    assert other.read(blob.sha256) == b"bytes"
    s3.faults["HEAD"] = [fault]
    assert store.exists(blob.sha256)
    s3.faults["POST"] = [fault]
    store.delete(blob.sha256)
    assert s3.objects == {}


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("fault", ["late", "lost", "refused"])
def test_a_file_set_aside_twice_can_be_put_back_or_is_swept(
    s3: FakeS3, store: ObjectBlobStore, worker: InProcessWorker, method: str, fault: Fault
) -> None:
    """Renaming is a copy and a deletion; the answer to either may be lost."""
    sha256 = store.put(b"bytes").sha256
    s3.faults[method] = [fault]
    store.set_aside(sha256)
    assert not store.exists(sha256)
    s3.faults[method] = [fault]
    store.put_back(sha256)
    assert store.read(sha256) == b"bytes"
    while sweep_orphans(worker.db, store, older_than_seconds=-1):
        pass
    assert s3.objects == {}


def test_a_run_on_a_store_with_lost_answers_has_the_same_bits_and_leaves_nothing(
    s3: FakeS3, store: ObjectBlobStore, worker: InProcessWorker
) -> None:
    worker.blobs = store
    reference = worker.reference(SPEC, SEEDS)
    worker.submit(SPEC, SEEDS)
    s3.faults |= {name: ["lost", "refused"] * 10 for name in ("PUT", "HEAD", "POST")}
    worker.work_until_idle()
    assert worker.assert_invariants(reference).compared == 2


def test_a_store_that_is_down_is_told(s3: FakeS3, store: ObjectBlobStore) -> None:
    s3.is_down = True
    for ask in (
        lambda: store.put(b"bytes"),
        lambda: store.read("0" * 64),
        lambda: store.exists("0" * 64),
        lambda: store.delete("0" * 64),
        lambda: store.set_aside("0" * 64),
        lambda: list(store.list_older_than(0, 0)),
    ):
        with pytest.raises(StorageUnavailable, match="does not answer"):
            ask()
    store.discard("0" * 64)


def test_a_run_waits_for_a_store_that_is_down_and_goes_on_without_saves(
    s3: FakeS3, tmp_path: Path, worker: InProcessWorker
) -> None:
    worker.blobs = ObjectBlobStore(s3.open(retries=0), tmp_path / "cache")
    reference = worker.reference(SPEC, SEEDS)
    experiment_id, run_id = worker.submit(SPEC, SEEDS)
    s3.is_down = True
    working = threading.Thread(target=worker.work)
    working.start()
    wait_until(lambda: s3.requests["PUT"] > 20)
    time.sleep(0.5)
    assert worker.run(run_id).status == "running"
    s3.is_down = False
    working.join(60)
    assert worker.run(run_id).status == "succeeded"
    worker.work_until_idle()
    assert worker.assert_invariants(reference).compared == 2
    assert worker.events(experiment_id).count("run.failed") == 0


def test_a_run_whose_store_stays_down_fails_with_a_reason_and_can_be_retried(
    s3: FakeS3, tmp_path: Path, worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_blobs, "PATIENCE_SECONDS", 0.0)
    worker.blobs = ObjectBlobStore(s3.open(retries=0), tmp_path / "cache")
    _, run_id = worker.submit(SPEC, SEEDS)
    s3.is_down = True
    worker.work()
    row = worker.run(run_id)
    assert (row.status, row.error_code) == ("failed", "storage_unavailable")
    assert row.error_detail is not None
    assert "object store" in row.error_detail
    s3.is_down = False
    _, after = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    assert worker.run(after).status == "succeeded"
    worker.assert_invariants()


def test_a_save_that_cannot_be_stored_is_left_out(
    s3: FakeS3, tmp_path: Path, worker: InProcessWorker, set_listener: SetListener
) -> None:
    def refuse_save(name: str) -> None:
        if name == "save.1":
            s3.faults["PUT"] = ["refused"]

    worker.blobs = ObjectBlobStore(s3.open(retries=0), tmp_path / "cache")
    reference = worker.reference(SPEC, SEEDS)
    experiment_id, run_id = worker.submit(SPEC, SEEDS)
    set_listener(refuse_save)
    worker.work_until_idle()
    set_listener(None)
    assert worker.run(run_id).status == "succeeded"
    assert "run.checkpoint_not_saved" in worker.events(experiment_id)
    assert worker.assert_invariants(reference).compared == 2


def test_an_upload_to_a_store_that_is_down_is_told_and_succeeds_later(
    s3: FakeS3, tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_module, "MAX_RETRIES", 0)
    (tmp_path / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    settings = make_settings(tmp_path, blob_url=f"s3://{BUCKET}/prefix")
    with serve_api(settings) as api_server:
        s3.is_down = True
        response = api_server.http.post("/datasets", params={"name": "mine"}, content=make_npz())
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert "the object store of the service does not answer" in response.json()["detail"]
        assert int(response.headers["retry-after"]) > 0
        assert all(one["name"] != "mine" for one in api_server.get("/datasets")["items"])
        s3.is_down = False
        response = api_server.http.post("/datasets", params={"name": "mine"}, content=make_npz())
        assert response.status_code == 201, response.text
        assert len(s3.objects) == 1
