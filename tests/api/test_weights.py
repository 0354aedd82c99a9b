"""Uploaded checkpoints, and kinds from plug-ins."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from engine.experiments import registry
from engine.plugins import PluginBroken, load_plugin_kinds
from storage.database.tables import ArtifactRow, RunRow, WeightsRow
from storage.files.weights import find_weights_blob
from tests.api.api_server import ApiServer
from tests.api.sample_files import (
    CHECKPOINT_SHAPES,
    CHECKPOINT_WIDTH,
    body_from_checkpoint,
    make_checkpoint,
)


def test_an_uploaded_checkpoint_is_stored_once_and_can_be_trained_from(
    api_server: ApiServer,
) -> None:
    data = make_checkpoint(CHECKPOINT_SHAPES)
    made = api_server.http.post("/checkpoints", content=data, params={"title": "mine"})
    assert made.status_code == 201, made.text
    brought = made.json()
    assert brought["tensors"] == CHECKPOINT_SHAPES
    assert (
        brought["parameters"]
        == 784 * CHECKPOINT_WIDTH + CHECKPOINT_WIDTH + CHECKPOINT_WIDTH * 10 + 10
    )
    again = api_server.http.post("/checkpoints", content=data)
    assert (again.status_code, again.json()["id"]) == (200, brought["id"])
    assert (
        api_server.get("/checkpoints")["items"]
        == [brought]
        == [api_server.get(made.headers["Location"])]
    )
    assert api_server.submit(body_from_checkpoint(brought["id"]))["status"] == "queued"
    with api_server.db.read() as session:
        assert api_server.blobs.read(find_weights_blob(session, brought["id"])) == data


def test_a_checkpoint_that_does_not_fit_the_model_is_refused_at_submission(
    api_server: ApiServer,
) -> None:
    fits = upload(api_server, make_checkpoint(CHECKPOINT_SHAPES))
    more = upload(api_server, make_checkpoint({**CHECKPOINT_SHAPES, "more": [1]}))
    less = upload(api_server, make_checkpoint(dict(list(CHECKPOINT_SHAPES.items())[:-1])))
    assert preview(api_server, fits).status_code == 200
    for checkpoint, width, code, said in (
        (fits, 7, "shape-mismatch", "layers.0.linear.bias is float32 [6]"),
        (more, CHECKPOINT_WIDTH, "shape-mismatch", "more is not in the model"),
        (less, CHECKPOINT_WIDTH, "shape-mismatch", "layers.1.linear.bias is missing"),
        ("wts_none", CHECKPOINT_WIDTH, "not-found", "there is no checkpoint"),
    ):
        for path in ("/experiments", "/experiments/preview"):
            response = api_server.http.post(path, json=body_from_checkpoint(checkpoint, width))
            (error,) = response.json()["errors"]
            found = (response.status_code, error["pointer"], error["code"])
            assert found == (422, "#/spec/init/checkpoint", code)
            assert said in error["detail"]


def upload(api: ApiServer, data: bytes) -> str:
    response = api.http.post("/checkpoints", content=data)
    assert response.status_code in (200, 201), response.text
    return str(response.json()["id"])


def preview(api: ApiServer, checkpoint: str) -> httpx.Response:
    return api.http.post("/experiments/preview", json=body_from_checkpoint(checkpoint))


@pytest.mark.parametrize(
    ("dtype", "note"),
    [
        ("BF16", "4 of 4 tensors are bfloat16; training starts from them as float32, exactly"),
        ("F16", "4 of 4 tensors are float16; training starts from them as float32, exactly"),
        (
            "F64",
            "4 of 4 tensors are float64; training starts from them as float32, rounded to 24 "
            "significant bits",
        ),
    ],
)
def test_weights_of_other_float_types_are_accepted_with_a_note(
    api_server: ApiServer, dtype: str, note: str
) -> None:
    response = api_server.http.post(
        "/checkpoints", content=make_checkpoint(CHECKPOINT_SHAPES, dtype)
    )
    assert (response.status_code, response.json()["notes"]) == (201, [note])
    checkpoint = response.json()["id"]
    warnings = preview(api_server, checkpoint).json()["warnings"]
    assert f"checkpoint {checkpoint}: {note}" in warnings
    assert api_server.submit(body_from_checkpoint(checkpoint))["status"] == "queued"


def not_finite(dtype: str, number: bytes) -> bytes:
    """Weights whose last number is this one."""
    data = make_checkpoint(CHECKPOINT_SHAPES, dtype)
    return data[: -len(number)] + number


UNUSABLE = {
    "an integer type": (make_checkpoint({"layers.0.w": [2]}, "I32"), "'I32'"),
    "an 8-bit float": (make_checkpoint({"layers.0.w": [2]}, "F8_E4M3"), "'F8_E4M3'"),
    "complex numbers": (make_checkpoint({"layers.0.w": [2]}, "C64"), "'C64'"),
    "booleans": (make_checkpoint({"layers.0.w": [2]}, "BOOL"), "'BOOL'"),
    "64-bit integers as weights": (make_checkpoint({"layers.0.w": [2]}, "I64"), "is int64"),
    "a counter of floats": (
        make_checkpoint({"layers.0.norm.num_batches_tracked": []}),
        "'layers.0.norm.num_batches_tracked' is float32",
    ),
    "NaN": (not_finite("F32", b"\0\0\xc0\x7f"), "'layers.1.linear.bias' holds NaN"),
    "NaN in half precision": (not_finite("F16", b"\1\x7c"), "holds NaN or infinity"),
    "infinity in bfloat16": (not_finite("BF16", b"\x80\xff"), "holds NaN or infinity"),
    "more than float32 holds": (
        not_finite("F64", struct.pack("<d", 1e39)),
        "holds NaN or infinity as float32",
    ),
    "names of another program": (
        make_checkpoint({"encoder.weight": [2, 2], "encoder.bias": [2]}),
        "the first are encoder.weight, encoder.bias",
    ),
    "a prefix": (
        make_checkpoint({f"module.{name}": shape for name, shape in CHECKPOINT_SHAPES.items()}),
        "the first are module.layers.0.linear.weight, module.layers.0.linear.bias, "
        "module.layers.1.linear.weight. All names begin with 'module.': strip it with",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_weights_that_no_training_can_start_from_are_refused_at_upload(
    api_server: ApiServer, name: str
) -> None:
    data, said = UNUSABLE[name]
    response = api_server.http.post("/checkpoints", content=data)
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/file"
    assert said in error["detail"]


def test_a_checkpoint_of_a_run_is_compared_with_the_model(api_server: ApiServer) -> None:
    """Its tensors are read from its file: rows of runs' files do not describe them."""
    body = {"spec": {"kind": "train", "epochs": 1}, "seeds": [91]}
    claim = api_server.finish_all_runs(api_server.submit(body)["id"])[0]
    contents = {
        "fits": make_checkpoint(CHECKPOINT_SHAPES),
        "other": make_checkpoint({**CHECKPOINT_SHAPES, "layers.1.linear.bias": [11]}),
        "infinite": not_finite("F32", b"\0\0\x80\x7f"),
    }
    with api_server.db.write() as session:
        run = session.get_one(RunRow, claim.run_id)
        for name, data in contents.items():
            blob = api_server.blobs.put(data)
            session.add(
                ArtifactRow(
                    id=f"art_{name}",
                    run_id=run.id,
                    role="checkpoint",
                    name=name,
                    fence=run.fence,
                    media_type="application/vnd.safetensors",
                    sha256=blob.sha256,
                    num_bytes=blob.num_bytes,
                    created_at=run.created_at,
                )
            )
    assert preview(api_server, "art_fits").status_code == 200
    for name, said in (("other", "is float32 [11]"), ("infinite", "holds NaN or infinity")):
        response = preview(api_server, f"art_{name}")
        assert response.status_code == 422
        assert said in response.json()["errors"][0]["detail"]


def test_a_checkpoint_that_is_older_than_its_checks_is_checked_at_submission(
    api_server: ApiServer,
) -> None:
    checkpoint = upload(api_server, make_checkpoint({**CHECKPOINT_SHAPES, "layers.9.b": [1]}))
    damaged = not_finite("F32", b"\0\0\x80\xff")
    blob = api_server.blobs.put(damaged)
    with api_server.db.write() as session:
        row = session.scalars(select(WeightsRow).where(WeightsRow.id == checkpoint)).one()
        row.dtypes, row.sha256 = None, blob.sha256
    assert api_server.get(f"/checkpoints/{checkpoint}")["dtypes"] is None
    response = preview(api_server, checkpoint)
    assert response.status_code == 422
    assert "holds NaN or infinity" in response.json()["errors"][0]["detail"]


def test_a_checkpoint_whose_file_is_lost_is_refused_at_submission(api_server: ApiServer) -> None:
    data = make_checkpoint(CHECKPOINT_SHAPES, "F16", __metadata__={"lost": "soon"})
    checkpoint = upload(api_server, data)
    api_server.blobs.delete(api_server.get(f"/checkpoints/{checkpoint}")["sha256"])
    response = preview(api_server, checkpoint)
    assert response.status_code == 422
    assert "is missing" in response.json()["errors"][0]["detail"]


INVALID_CHECKPOINTS = {
    "nothing": b"",
    "text": b"these are no weights at all",
    "a pickle": b"\x80\x04" + bytes(50),
    "a header longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "no tensor": make_checkpoint({}),
    "cut off": make_checkpoint(CHECKPOINT_SHAPES)[:-1],
    "bytes behind": make_checkpoint(CHECKPOINT_SHAPES) + b"x",
    "a shape that is not its size": make_checkpoint({"w": [2, 2]}, w={"shape": [2, 3]}),
    "a negative length": make_checkpoint({"w": [2, 2]}, w={"shape": [-2, -2]}),
    "tensors that overlap": make_checkpoint({"a": [2], "b": [2]}, b={"data_offsets": [0, 8]}),
    "a type that is no float": make_checkpoint({"w": [2]}, w={"dtype": "STR"}),
    "an offset that is no number": make_checkpoint({"w": [2]}, w={"data_offsets": ["0", "8"]}),
}


@pytest.mark.parametrize("name", INVALID_CHECKPOINTS)
def test_an_invalid_checkpoint_is_refused(api_server: ApiServer, name: str) -> None:
    response = api_server.http.post("/checkpoints", content=INVALID_CHECKPOINTS[name])
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request"), (
        response.text
    )
    assert not list(api_server.settings.resolved_blob_dir.rglob("*.partial"))


PLUGIN = """
from dataclasses import replace
from typing import Literal
from engine.experiments.train import KIND as TRAIN
from engine.experiments.train.spec import TrainSpec

class MySpec(TrainSpec):
    kind: Literal["my_kind"] = "my_kind"

KIND = replace(TRAIN, name="my_kind", title="My kind", spec=MySpec, presets=lambda: (),
               example={"spec": {"kind": "my_kind", "epochs": 1}})
"""


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install a distribution with one kind for the duration of a test."""

    def install(entry: str, source: str = PLUGIN) -> None:
        info = tmp_path / "my_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[richregime.kinds]\n{entry}\n")
        (tmp_path / "my_plugin_module.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        registry.kinds.cache_clear()

    yield install
    monkeypatch.undo()
    registry.kinds.cache_clear()
    assert "my_kind" not in registry.kinds()


def test_a_kind_of_a_plugin_is_served_like_a_built_in_one(
    api_server: ApiServer, install_plugin: Any
) -> None:
    install_plugin("my_kind = my_plugin_module:KIND")
    assert api_server.get("/kinds/my_kind")["title"] == "My kind"
    made = api_server.submit({"spec": {"kind": "my_kind", "epochs": 2}, "seeds": [0, 1]})
    api_server.finish_all_runs(made["id"])
    assert (
        api_server.get(f"/experiments/{made['id']}/result")["points"][0]["test_accuracy"]["n"] == 2
    )
    assert (
        "My kind"
        in api_server.http.get(f"/view/{made['id']}", headers={"Accept": "text/html"}).text
    )
    api_server.http.delete(f"/experiments/{made['id']}").raise_for_status()


@pytest.mark.parametrize(
    ("entry", "source", "said"),
    [
        ("my_kind = my_plugin_module:NOTHING", "", "cannot be loaded"),
        ("my_kind = my_plugin_module:KIND", "KIND = 5", "is a int, not an engine.kind.Kind"),
        ("other = my_plugin_module:KIND", PLUGIN, "has the name 'my_kind'"),
    ],
)
def test_a_broken_plugin_is_reported_by_name(
    install_plugin: Any, entry: str, source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "my_plugin_module", raising=False)
    install_plugin(entry, source)
    with pytest.raises(PluginBroken, match=said) as caught:
        load_plugin_kinds()
    assert "my-plugin" in str(caught.value)
