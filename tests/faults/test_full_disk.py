"""A full disk during uploads and submissions: requests fail whole, and later ones succeed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from storage.errors import StorageFull
from storage.files.artifacts import register_artifact
from storage.files.blobs import BlobStore
from storage.files.upload_transaction import upload_transaction
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.faults.api_process import BODY, ApiProcess, run_api
from tests.faults.in_process_worker import InProcessWorker

pytestmark = pytest.mark.xdist_group("full_disk")

MIB = 1 << 20
CHUNKED = {"transfer-encoding": "chunked"}


class SmallFileSystem:
    """A mounted file system of 16 MiB."""

    submission_error = (507, "storage-full")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)],
            check=True,
            capture_output=True,
        )

    @contextmanager
    def leaving(self, num_bytes: int, api: ApiProcess) -> Iterator[None]:
        """Only this many bytes can be written within the block."""
        filler = self.folder / "filler"
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_bsize
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - num_bytes)
        try:
            yield
        finally:
            filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, capture_output=True)


class FileSizeLimit:
    """The system's limit on the API's file sizes, where mounting is not allowed."""

    submission_error = (503, "unavailable")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    @contextmanager
    def leaving(self, num_bytes: int, api: ApiProcess) -> Iterator[None]:
        """No file can become larger than this within the block."""
        _, hard_limit = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (num_bytes, hard_limit))
        try:
            yield
        finally:
            resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (hard_limit, hard_limit))

    def close(self) -> None:
        """Nothing to undo."""


def list_disks() -> list[type[SmallFileSystem | FileSizeLimit]]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            SmallFileSystem(Path(folder)).close()
        except (OSError, subprocess.CalledProcessError):
            return [FileSizeLimit]
    return [FileSizeLimit, SmallFileSystem]


@dataclass(frozen=True)
class ApiOnDisk:
    """An API and the disk that holds its home."""

    disk: SmallFileSystem | FileSizeLimit
    api: ApiProcess

    def files(self) -> set[Path]:
        return {path for path in (self.disk.folder / "blobs").rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=list_disks(), ids=lambda disk: disk.__name__)
def on_disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiOnDisk]:
    disk = request.param(tmp_path_factory.mktemp("disk"))
    try:
        (disk.folder / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
        with run_api(disk.folder) as api:
            yield ApiOnDisk(disk, api)
    finally:
        disk.close()


def data_set() -> bytes:
    """A data set of 3 MiB, stored without compression."""
    images = np.random.default_rng(0).integers(0, 256, (3 * MIB // 256, 16, 16), dtype=np.uint8)
    labels = np.arange(len(images)) % 10
    stream = BytesIO()
    np.savez(
        stream,
        x_train=images[1000:],
        y_train=labels[1000:],
        x_test=images[:1000],
        y_test=labels[:1000],
    )
    return stream.getvalue()


def weights() -> bytes:
    header = json.dumps(
        {"layers.0.linear.weight": {"dtype": "F32", "shape": [MIB], "data_offsets": [0, 4 * MIB]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * MIB)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> bytes:
    """An exported experiment of a few hundred kB, with a file that unpacks to 3 MiB."""
    home = tmp_path_factory.mktemp("elsewhere")
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    with serve_api(make_settings(home)) as api_server:
        experiment_id = api_server.submit(BODY)["id"]
        add_file(api_server, experiment_id)
        response = api_server.http.get(
            f"/experiments/{experiment_id}/export", params={"files": True}
        )
        return response.content


def add_file(api_server: ApiServer, experiment_id: str) -> None:
    claim = api_server.claim_run(experiment_id)
    assert claim is not None
    blob = api_server.blobs.put(bytes(3 * MIB))
    with api_server.db.write() as session:
        assert register_artifact(
            session,
            run_id=claim.run_id,
            fence=claim.fence,
            role="artifact",
            name="counts",
            seed=0,
            epoch=None,
            media_type="text/plain",
            blob=blob,
        )
    api_server.finish_run(claim)


def streamed(content: bytes) -> Iterator[bytes]:
    """Sent in chunks, without a content length."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def assert_refused(response: httpx.Response) -> None:
    assert (response.status_code, response.headers["content-type"]) == (
        507,
        "application/problem+json",
    )
    problem = response.json()
    assert (problem["code"], problem["title"]) == ("storage-full", "Storage full")
    assert "richregime gc" in problem["detail"]
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("send", [bytes, streamed], ids=["stated", "streamed"])
@pytest.mark.parametrize(
    ("path", "make"), [("/datasets", data_set), ("/checkpoints", weights)], ids=["data", "weights"]
)
def test_an_upload_to_a_full_disk_fails_whole_and_succeeds_once_there_is_space(
    on_disk: ApiOnDisk, path: str, make: Callable[[], bytes], send: Callable[[bytes], Any]
) -> None:
    content = make()
    before = on_disk.files()
    listed = on_disk.api.http.get(path).json()

    def post() -> httpx.Response:
        return on_disk.api.http.post(path, params={"name": send.__name__}, content=send(content))

    with on_disk.disk.leaving(MIB, on_disk.api):
        assert_refused(post())
        assert on_disk.files() == before
        assert on_disk.api.http.get(path).json() == listed
        assert on_disk.api.submit().status_code == 201, "a submission needs little space"
    stored = post()
    assert stored.status_code in (200, 201), "200: the same weights were stored before"
    assert on_disk.api.http.get(stored.headers["location"]).status_code == 200


def test_a_client_that_sends_everything_before_it_reads_receives_the_error_too(
    on_disk: ApiOnDisk,
) -> None:
    sender = HTTPConnection(on_disk.api.url.removeprefix("http://"), timeout=60)
    chunks = (bytes(100_000) for _ in range(120))
    with on_disk.disk.leaving(MIB, on_disk.api):
        sender.request("POST", "/checkpoints", body=chunks, encode_chunked=True, headers=CHUNKED)
        response = sender.getresponse()
        assert (response.status, json.load(response)["code"]) == (507, "storage-full")
    sender.close()


def test_an_import_to_a_full_disk_fails_whole(on_disk: ApiOnDisk, bundle: bytes) -> None:
    assert len(bundle) < MIB
    before = on_disk.files()
    listed = [one["id"] for one in on_disk.api.http.get("/experiments").json()["items"]]
    with on_disk.disk.leaving(MIB, on_disk.api):
        assert_refused(on_disk.api.http.post("/import", content=bundle))
        assert on_disk.files() == before
        assert [one["id"] for one in on_disk.api.http.get("/experiments").json()["items"]] == listed
    assert on_disk.api.http.post("/import", content=bundle).status_code == 201


def test_a_submission_to_a_full_disk_is_refused_and_reads_succeed(on_disk: ApiOnDisk) -> None:
    with on_disk.disk.leaving(0, on_disk.api):
        accepted = 0
        while (response := on_disk.api.submit()).status_code == 201:
            accepted += 1
            assert accepted < 1000
        assert (response.status_code, response.json()["code"]) == on_disk.disk.submission_error
        assert int(response.headers["retry-after"]) > 0
        queued = on_disk.api.http.get("/queue").json()["queued"]
        assert on_disk.api.http.get("/experiments").status_code == 200
    assert on_disk.api.submit().status_code == 201
    assert on_disk.api.http.get("/queue").json()["queued"] == queued + 1


def test_new_files_are_deleted_if_their_row_cannot_be_written(worker: InProcessWorker) -> None:
    kept = worker.blobs.put(b"existing")

    def upload(blobs: BlobStore) -> None:
        with upload_transaction(worker.db, blobs) as store:
            for data in (b"existing", b"new"):
                store(partial(blobs.put, data))
            raise StorageFull

    with pytest.raises(StorageFull):
        upload(worker.blobs)
    assert [name for name, _ in worker.blobs.list_older_than(-1, float("inf"))] == [kept.sha256]


def test_a_file_deleted_by_another_failed_upload_is_stored_again(
    worker: InProcessWorker,
) -> None:
    with upload_transaction(worker.db, worker.blobs) as store:
        blob = store(lambda: worker.blobs.put(b"shared"))
        worker.blobs.delete(blob.sha256)
    assert worker.blobs.exists(blob.sha256)
