"""Submissions are checked against registered data sets as against built-in ones."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import kinds
from storage.database.tables import DatasetRow
from tests.api.api_server import ApiServer
from tests.api.sample_files import CHECKPOINT_SHAPES, FROM_GIVEN_WEIGHTS, make_checkpoint, make_npz

TWIN = "twin"
"""A registered data set of the same sizes, classes and shape as `digits`"""
EVERY_KIND: dict[str, tuple[dict[str, Any], str]] = {
    "a train subset larger than the set": (
        {"data": {"train_size": 4_001}},
        "#/spec/data/train_size",
    ),
    "a test subset larger than the set": ({"data": {"test_size": 1_001}}, "#/spec/data/test_size"),
    "a checkpoint beyond the training": (
        {"checkpoints": {"steps": [40, 41]}, "epochs": 1, "batch_size": 100},
        "#/spec/checkpoints/steps/1",
    ),
    "pretrained weights for other channels": (
        {"model": {"name": "vgg11"}, "init": {"name": "pretrained"}},
        "#/spec/init",
    ),
    "weights for other images": (
        {
            "model": {"name": "relu_net", "width": 6},
            "init": {"name": "checkpoint", "checkpoint": "of other images"},
        },
        "#/spec/init/checkpoint",
    ),
    "more parameters than allowed": (
        {"model": {"name": "relu_net", "width": 1_000_000}},
        "#/spec/model",
    ),
}
"""A wrong part of a spec, and the pointer of its error"""
ONE_KIND: dict[str, tuple[dict[str, Any], str]] = {
    "gradient_spectrum": (
        {"steps": [1, 81], "epochs": 2, "batch_size": 100},
        "#/spec/steps/1",
    ),
    "connectivity": (
        {"splits": {"steps": [0, 80]}, "epochs": 2, "batch_size": 100},
        "#/spec/splits/steps/1",
    ),
    "reinit_sweep": (
        {"reset_to": {"name": "step", "step": 81}, "epochs": 2, "batch_size": 100},
        "#/spec/reset_to/step",
    ),
}
"""What only one kind can have wrong"""
CASES = [
    *((kind, *case) for kind in kinds() for case in EVERY_KIND.values()),
    *((kind, *case) for kind, case in ONE_KIND.items()),
]


@pytest.fixture(scope="module")
def with_twin(api_server: ApiServer) -> ApiServer:
    """The API with the twin of `digits`, and with weights for images of another size."""
    info = BUILTIN_DATASETS["digits"]
    sizes = {"train": info.train_size, "test": info.test_size}
    stream = io.BytesIO()
    arrays: dict[str, Any] = {}
    for split, size in sizes.items():
        arrays[f"x_{split}"] = np.zeros((size, 28, 28), np.uint8)
        arrays[f"y_{split}"] = np.arange(size) % 10
    np.savez_compressed(stream, **arrays)
    register(api_server, TWIN, stream.getvalue())
    return api_server


def register(api: ApiServer, name: str, content: bytes) -> None:
    made = api.http.post("/datasets", params={"name": name}, content=content)
    assert made.status_code in (200, 201), made.text


def errors_of(api: ApiServer, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """(pointer, code) of the errors, the same at submission and preview; none for a valid spec."""
    found = []
    for path in ("/experiments/preview", "/experiments"):
        response = api.http.post(path, json={"spec": spec, "reuse": False})
        assert response.status_code in (200, 201, 422), response.text
        errors = response.json().get("errors") or []
        found.append([(error["pointer"], error["code"]) for error in errors])
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("age", ["new", "older than its class counts"])
@pytest.mark.parametrize(("kind", "parts", "pointer"), CASES)
def test_a_wrong_spec_is_refused_for_registered_data_sets_as_for_built_in_ones(
    with_twin: ApiServer, kind: str, parts: dict[str, Any], pointer: str, age: str
) -> None:
    shapes = {**CHECKPOINT_SHAPES, "layers.0.linear.weight": [6, 785]}
    weights = with_twin.http.post("/checkpoints", content=make_checkpoint(shapes)).json()["id"]
    if parts.get("init"):
        parts = {**FROM_GIVEN_WEIGHTS.get(kind, {}), **parts}
    if parts.get("init", {}).get("checkpoint"):
        parts = {**parts, "init": {**parts["init"], "checkpoint": weights}}
    with with_twin.db.write() as session:
        row = session.scalars(select(DatasetRow).where(DatasetRow.name == TWIN)).one()
        known = row.class_counts or {"train": [400] * 10, "test": [100] * 10}
        row.class_counts = known if age == "new" else None
    found = {
        name: errors_of(
            with_twin, {"kind": kind, **parts, "data": {**parts.get("data", {}), "name": name}}
        )
        for name in ("digits", TWIN)
    }
    assert found[TWIN] == found["digits"]
    assert pointer in [pointer for pointer, _ in found[TWIN]]


def test_the_default_steps_of_a_spectrum_are_too_many_for_sixty_images(
    api_server: ApiServer,
) -> None:
    register(api_server, "sixty", make_npz(60))
    spec = {"kind": "gradient_spectrum", "data": {"name": "sixty"}}
    assert errors_of(api_server, spec) == [("#/spec/steps/2", "beyond-the-training")]
    assert errors_of(api_server, {**spec, "epochs": 30}) == []


@pytest.mark.parametrize("is_old", [False, True])
def test_the_largest_subset_follows_from_the_class_counts(
    api_server: ApiServer, is_old: bool
) -> None:
    name = f"unequal{int(is_old)}"
    labels = (np.arange(60) % 6 == 0).astype(int)
    register(api_server, name, make_npz(60, y_train=labels, y_test=np.array([0, 0, 0, 0, 0, 1])))
    if is_old:
        with api_server.db.write() as session:
            row = session.scalars(select(DatasetRow).where(DatasetRow.name == name)).one()
            row.class_counts = None
    for sizes, pointer in (
        ({"train_size": 22}, "#/spec/data/train_size"),
        ({"test_size": 4}, "#/spec/data/test_size"),
    ):
        spec = {"kind": "train", "data": {"name": name, **sizes}}
        assert errors_of(api_server, spec) == [(pointer, "subset-too-large")]
    spec = {"kind": "train", "data": {"name": name, "train_size": 21, "test_size": 3}}
    assert errors_of(api_server, spec) == []


def test_a_data_set_whose_file_is_lost_is_refused_at_submission(api_server: ApiServer) -> None:
    register(api_server, "lost", make_npz(34))
    api_server.blobs.delete(api_server.get("/datasets/lost")["sha256"])
    spec = {"kind": "train", "data": {"name": "lost"}}
    assert errors_of(api_server, spec) == [("#/spec/data/name", "dataset-unavailable")]
