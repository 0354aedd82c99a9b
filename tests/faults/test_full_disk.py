"""A disk that is full while files come in and experiments are submitted: told, nothing half done, healed by kind."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.faults.conftest import Bench
from tests.faults.test_service_under_pressure import BODY, Service, serving

pytestmark = pytest.mark.xdist_group("full_disk")

MIB = 1 << 20
CHUNKED = {"transfer-encoding": "chunked"}


class FileSystem:
    """A file system of its own, of 16 MiB."""

    database_refusal = (507, "storage-full")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)],
            check=True,
            capture_output=True,
        )

    @contextmanager
    def leaving(self, num_bytes: int, service: Service) -> Iterator[None]:
        """No more than so many bytes can be written meanwhile."""
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


class FileSizes:
    """A bound of the system on the service's files, for where nothing may be mounted."""

    database_refusal = (503, "unavailable")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    @contextmanager
    def leaving(self, num_bytes: int, service: Service) -> Iterator[None]:
        """No file becomes larger than that meanwhile."""
        _, most = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (num_bytes, most))
        try:
            yield
        finally:
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (most, most))

    def close(self) -> None:
        """There is nothing to undo."""


def list_disks() -> list[type[FileSystem | FileSizes]]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            FileSystem(Path(folder)).close()
        except (OSError, subprocess.CalledProcessError):
            return [FileSizes]
    return [FileSizes, FileSystem]


@dataclass(frozen=True)
class Full:
    """A service, and the disk that it fills."""

    disk: FileSystem | FileSizes
    service: Service

    def files(self) -> set[Path]:
        return {path for path in (self.disk.folder / "blobs").rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=list_disks(), ids=lambda disk: disk.__name__)
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Full]:
    disk = request.param(tmp_path_factory.mktemp("disk"))
    try:
        (disk.folder / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
        with serving(disk.folder) as service:
            yield Full(disk, service)
    finally:
        disk.close()


def data_set() -> bytes:
    """Of 3 MiB, stored as they are."""
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
        {"w": {"dtype": "F32", "shape": [MIB], "data_offsets": [0, 4 * MIB]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * MIB)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> bytes:
    """Of some hundred kB; a file in it unpacks to 3 MiB."""
    home = tmp_path_factory.mktemp("elsewhere")
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    with serve_api(make_settings(home)) as api_server:
        experiment_id = api_server.submit(BODY)["id"]
        add_file(api_server, experiment_id)
        answer = api_server.http.get(f"/experiments/{experiment_id}/export", params={"files": True})
        return answer.content


def add_file(api_server: ApiServer, experiment_id: str) -> None:
    claim = api_server.claim_run(experiment_id)
    assert claim is not None
    blob = api_server.blobs.put(bytes(3 * MIB))
    with api_server.db.write() as session:
        named: dict[str, Any] = {"role": "artifact", "name": "counts", "seed": 0, "epoch": None}
        of_claim = {"run_id": claim.run_id, "fence": claim.fence}
        assert register_artifact(session, **of_claim, **named, media_type="text/plain", blob=blob)
    api_server.finish_run(claim)


def streamed(content: bytes) -> Iterator[bytes]:
    """Sent without a word on its size."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def assert_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem["title"]) == ("storage-full", "Storage full")
    assert "richregime gc" in problem["detail"]
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("send", [bytes, streamed], ids=["stated", "streamed"])
@pytest.mark.parametrize(
    ("path", "make"), [("/datasets", data_set), ("/checkpoints", weights)], ids=["data", "weights"]
)
def test_a_file_that_finds_the_disk_full_is_refused_whole_and_taken_when_there_is_room(
    full: Full, path: str, make: Callable[[], bytes], send: Callable[[bytes], Any]
) -> None:
    content = make()
    before = full.files()
    listed = full.service.http.get(path).json()

    def post() -> httpx.Response:
        return full.service.http.post(path, params={"name": send.__name__}, content=send(content))

    with full.disk.leaving(MIB, full.service):
        assert_refused(post())
        assert full.files() == before
        assert full.service.http.get(path).json() == listed
        assert full.service.submit().status_code == 201, "what needs little room goes on"
    taken = post()
    assert taken.status_code in (200, 201), "the same weights may have been taken before"
    assert full.service.http.get(taken.headers["location"]).status_code == 200


def test_who_sends_all_before_it_listens_hears_of_the_full_disk_too(full: Full) -> None:
    sender = HTTPConnection(full.service.url.removeprefix("http://"), timeout=60)
    parts = (bytes(100_000) for _ in range(120))
    with full.disk.leaving(MIB, full.service):
        sender.request("POST", "/checkpoints", body=parts, encode_chunked=True, headers=CHUNKED)
        answer = sender.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (507, "storage-full")
    sender.close()


def test_an_archive_whose_files_find_the_disk_full_is_refused_whole(
    full: Full, archive: bytes
) -> None:
    assert len(archive) < MIB
    before = full.files()
    listed = [one["id"] for one in full.service.http.get("/experiments").json()["items"]]
    with full.disk.leaving(MIB, full.service):
        assert_refused(full.service.http.post("/import", content=archive))
        assert full.files() == before
        assert [
            one["id"] for one in full.service.http.get("/experiments").json()["items"]
        ] == listed
    assert full.service.http.post("/import", content=archive).status_code == 201


def test_a_submission_that_finds_the_disk_full_is_refused_and_reading_goes_on(full: Full) -> None:
    with full.disk.leaving(0, full.service):
        accepted = 0
        while (answer := full.service.submit()).status_code == 201:
            accepted += 1
            assert accepted < 1000
        assert (answer.status_code, answer.json()["code"]) == full.disk.database_refusal
        assert int(answer.headers["retry-after"]) > 0
        queued = full.service.http.get("/queue").json()["queued"]
        assert full.service.http.get("/experiments").status_code == 200
    assert full.service.submit().status_code == 201
    assert full.service.http.get("/queue").json()["queued"] == queued + 1


def test_files_go_with_the_row_that_could_not_be_written(bench: Bench) -> None:
    kept = bench.blobs.put(b"of before")

    def bring(blobs: BlobStore) -> None:
        with upload_transaction(bench.db, blobs) as take:
            for data in (b"of before", b"new"):
                take(lambda data=data: blobs.put(data))
            raise StorageFull

    with pytest.raises(StorageFull):
        bring(bench.blobs)
    assert [name for name, _ in bench.blobs.list_older_than(-1, float("inf"))] == [kept.sha256]


def test_a_file_that_went_with_the_failure_of_another_is_stored_once_more(bench: Bench) -> None:
    with upload_transaction(bench.db, bench.blobs) as take:
        blob = take(lambda: bench.blobs.put(b"of two"))
        bench.blobs.delete(blob.sha256)
    assert bench.blobs.exists(blob.sha256)
