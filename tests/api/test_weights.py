"""Uploaded checkpoints, and kinds from plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.experiments import registry
from engine.plugins import PluginBroken, load_plugin_kinds
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
    brought = api_server.http.post(
        "/checkpoints", content=make_checkpoint({**CHECKPOINT_SHAPES, "more": [1]})
    ).json()
    assert (
        api_server.http.post(
            "/experiments/preview", json=body_from_checkpoint(brought["id"])
        ).status_code
        == 200
    )
    for checkpoint, width, code in (
        (brought["id"], 7, "shape-mismatch"),
        ("wts_none", CHECKPOINT_WIDTH, "not-found"),
    ):
        response = api_server.http.post(
            "/experiments", json=body_from_checkpoint(checkpoint, width)
        )
        (error,) = response.json()["errors"]
        assert (response.status_code, error["pointer"], error["code"]) == (
            422,
            "#/spec/init/checkpoint",
            code,
        )


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
