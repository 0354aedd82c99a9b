"""Registered data sets."""

from __future__ import annotations

import numpy as np
import pytest

from storage.files.blobs import BlobStore
from tests.api.api_server import ApiServer
from tests.api.sample_files import make_npz


def test_a_registered_data_set_can_be_trained_on(api_server: ApiServer) -> None:
    content = make_npz()
    made = api_server.http.post(
        "/datasets", params={"name": "mine", "title": "My images"}, content=content
    )
    assert made.status_code == 201, made.text
    found = api_server.get(made.headers["Location"])
    assert (found["shape"], found["num_classes"], found["train_size"], found["source"]) == (
        [1, 4, 4],
        2,
        20,
        "registered",
    )
    assert found in api_server.get("/datasets")["items"]
    experiment = api_server.submit({"spec": {"kind": "train", "data": {"name": "mine"}}})
    assert experiment["spec"]["data"]["name"] == "mine"
    again = api_server.http.post("/datasets", params={"name": "mine"}, content=content)
    assert (again.status_code, again.json()) == (200, found)
    other = api_server.http.post("/datasets", params={"name": "mine"}, content=make_npz(24))
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("digits", make_npz(), 409),
        ("Bad Name", make_npz(), 422),
        ("../up", make_npz(), 422),
        ("empty", b"", 422),
        ("noise", b"PK\x03\x04" + b"\0" * 100, 422),
        ("floats", make_npz(x_train=np.zeros((20, 4, 4))), 422),
        ("objects", make_npz(y_train=np.array([{}] * 20, dtype=object)), 422),
        ("labels", make_npz(y_train=np.arange(19) % 2), 422),
        ("huge", b"\0" * 1_000_001, 413),
    ],
)
def test_an_invalid_data_set_is_refused_and_nothing_is_stored(
    api_server: ApiServer, name: str, content: bytes, status: int
) -> None:
    before = {path for path in api_server.settings.resolved_blob_dir.rglob("*") if path.is_file()}
    response = api_server.http.post("/datasets", params={"name": name}, content=content)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert {
        path for path in api_server.settings.resolved_blob_dir.rglob("*") if path.is_file()
    } == before


def test_a_file_larger_than_the_free_space_is_refused_before_it_is_read(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_npz()
    monkeypatch.setattr(BlobStore, "free_bytes", lambda _: len(content) - 1)
    response = api_server.http.post("/datasets", params={"name": "large"}, content=content)
    assert (response.status_code, response.json()["code"]) == (507, "storage-full")
