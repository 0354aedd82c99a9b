"""Uploads that are not the expected file are refused with what was sent and what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import shlex
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.api_server import ApiServer
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz

ROUTES = {
    "/datasets?name=mine": "a data set (.npz, CSV, Parquet, or a zip archive of images)",
    "/checkpoints?title=a%27b": "a safetensors file",
    "/import": "an export of an experiment",
}
"""What each upload route takes"""


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("mine.npz"))
    return stream.getvalue()


def packed(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FOREIGN = {
    "an empty body": b"",
    "a gzip file": gzip.compress(make_npz()),
    "a Git LFS pointer": LFS,
    "a .npy file": npy(),
    "a tar archive": tar(),
    "an HTML page": b"<!DOCTYPE html><title>Sign in</title>",
    "a pickle": pickle.dumps({"w": [1.0]}),
    "a PyTorch file (.pt, .pth), which is a pickle": packed("archive/data.pkl", "archive/data/0"),
    "an HTML form": b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n...',
}
"""Files that no route takes, by what the refusal calls them"""
MISSENT = [
    (
        "/datasets?name=mine",
        make_checkpoint(CHECKPOINT_SHAPES),
        "a safetensors file",
        "checkpoints",
    ),
    ("/datasets?name=mine", packed("bundle.json"), "an export of an experiment", "/import"),
    ("/checkpoints", make_npz(), "an .npz file", "/datasets"),
    ("/checkpoints", packed("bundle.json"), "an export of an experiment", "/import"),
    ("/import", make_npz(), "an .npz file", "/datasets"),
    ("/import", make_checkpoint(CHECKPOINT_SHAPES), "a safetensors file", "/checkpoints"),
    ("/checkpoints", packed("a.txt", "b.txt"), "a zip archive", "it holds a.txt, b.txt"),
]
"""(route, file, what it is, what to do) of files that belong elsewhere"""


def stored(api: ApiServer) -> list[str]:
    return sorted(str(path) for path in api.settings.resolved_blob_dir.rglob("*") if path.is_file())


def assert_refused(api: ApiServer, route: str, content: bytes, *said: str) -> None:
    before = stored(api)
    response = api.http.post(route, content=content)
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    (error,) = response.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/file", "other-file")
    for text in said:
        assert text in error["detail"]
    assert stored(api) == before


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("route", ROUTES)
def test_a_refusal_says_what_was_sent(api_server: ApiServer, route: str, what: str) -> None:
    assert_refused(api_server, route, FOREIGN[what], f"must be {ROUTES[route]}", f"it is {what}")


@pytest.mark.parametrize(
    ("route", "content", "what", "advice"),
    MISSENT,
    ids=[f"{what} to {route}" for route, _, what, _ in MISSENT],
)
def test_a_refusal_says_where_a_file_belongs(
    api_server: ApiServer, route: str, content: bytes, what: str, advice: str
) -> None:
    assert_refused(api_server, route, content, f"it is {what}", advice)


def test_a_zip_archive_that_is_no_data_set_says_what_it_holds(api_server: ApiServer) -> None:
    for names, detail in (
        (("a.md", "b.md"), "there is no image; there are a.md, b.md"),
        (("a.png", "b.png"), "all images are in one folder (a.png, ...); they need a folder"),
    ):
        response = api_server.http.post("/datasets?name=mine", content=packed(*names))
        assert response.status_code == 422
        assert detail in response.json()["errors"][0]["detail"]


def test_weights_are_never_taken_for_another_kind_of_file(api_server: ApiServer) -> None:
    """Their first bytes are the length of a header, and may be those of a pickle."""
    for length in (0x0280, 0x0580, 0x2D2D):
        data = make_checkpoint({"layers.0.w": [1]})
        header = data[8:-4]
        padded = header[:-1] + b" " * (length - len(header)) + b"}"
        response = api_server.http.post(
            "/checkpoints", content=length.to_bytes(8, "little") + padded + data[-4:]
        )
        assert response.status_code == 201, response.text


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (
            {"files": {"file": ("mine.npz", make_npz())}},
            "an HTML form (content-type: 'multipart/form-",
        ),
        ({"headers": {"content-type": "Multipart/Mixed; boundary=x"}}, "an HTML form"),
        (
            {"data": {"file": "@mine.npz"}},
            "an HTML form (content-type: 'application/x-www-form-url",
        ),
        ({"headers": {"content-encoding": "gzip"}}, "encoded (content-encoding: 'gzip')"),
        ({"headers": {"content-encoding": "identity, br"}}, "encoded"),
    ],
)
def test_a_html_form_or_an_encoded_body_is_refused_with_the_right_command(
    api_server: ApiServer, route: str, sent: dict[str, Any], what: str
) -> None:
    before = stored(api_server)
    response = api_server.http.post(route, **sent)
    found = response.json()
    assert (response.status_code, found["code"]) == (415, "unsupported-media-type")
    assert f"the body is {what}" in found["detail"]
    assert "curl --data-binary @" in found["detail"]
    assert "-H 'content-type: application/octet-stream'" in found["detail"]
    assert shlex.split(found["detail"])[-1] == f"{api_server.http.base_url}".rstrip("/") + route
    assert stored(api_server) == before


def test_the_command_in_a_refusal_works(api_server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(make_npz(22))
    refused = api_server.http.post("/datasets?name=by-command&title=a+b%27c", data={"file": "x"})
    command = refused.json()["detail"].partition("must be the file itself: ")[2]
    done = subprocess.run(
        [*shlex.split(command), "-s"], cwd=tmp_path, capture_output=True, check=True
    )
    assert b'"title":"a b\'c"' in done.stdout
    assert api_server.get("/datasets/by-command")["train_size"] == 22


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_is_not_encoded_is_accepted(api_server: ApiServer, encoding: str) -> None:
    headers = {"content-encoding": encoding, "content-type": "application/octet-stream"}
    response = api_server.http.post("/datasets?name=plain", content=make_npz(26), headers=headers)
    assert response.status_code in (200, 201), response.text
