"""The JSON Schema of a body agrees with what the service accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.experiments.registry import kinds, presets
from engine.paper.preset_readings import apply_reading
from engine.paper.readings import READINGS
from tests.api.api_server import ApiServer

PATH = "/schemas/submission.json"
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def schema(api_server: ApiServer) -> Mapping[str, Any]:
    answer = api_server.http.get(PATH)
    assert answer.headers["content-type"] == "application/schema+json"
    found: Mapping[str, Any] = answer.json()
    return found


def errors_of(schema: Mapping[str, Any], body: Any) -> list[str]:
    found = Draft202012Validator(schema).iter_errors(body)
    return ["/".join(map(str, error.absolute_path)) for error in found]


def test_the_schema_is_one_and_complete_in_itself(schema: Mapping[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    text = json.dumps(schema)
    assert "#/components" not in text
    assert "discriminator" not in text
    assert len(text) < 200_000
    names = [
        one["if"]["properties"]["kind"]["const"] for one in schema["properties"]["spec"]["allOf"]
    ]
    assert sorted(names) == sorted(kinds())
    epochs = schema["$defs"]["TrainSpec"]["properties"]["epochs"]
    assert (epochs["default"], epochs["minimum"]) == (20, 0)
    assert epochs["description"]


def test_every_preset_and_example_is_valid(schema: Mapping[str, Any]) -> None:
    for preset in presets().values():
        for body in (preset.body, *(apply_reading(preset, one.name).body for one in READINGS)):
            plain = json.loads(json.dumps(body))
            assert errors_of(schema, plain) == [], (preset.name, preset.scale)
    for kind in kinds().values():
        assert errors_of(schema, json.loads(json.dumps(kind.example))) == [], kind.name
    for path in EXAMPLES.glob("**/*.json"):
        body = json.loads(path.read_text(encoding="utf-8"))
        if "spec" in body:
            assert errors_of(schema, body) == [], path.name


TRAIN = {"kind": "train", "epochs": 2}
WRONG: list[tuple[str, Any]] = [
    ("", {}),
    ("spec", {"spec": {}}),
    ("spec/kind", {"spec": {"kind": "nope"}}),
    ("spec/epochs", {"spec": {**TRAIN, "epochs": -1}}),
    ("spec/epochs", {"spec": {**TRAIN, "epochs": "many"}}),
    ("spec/batch_size", {"spec": {**TRAIN, "batch_size": 1}}),
    ("spec", {"spec": {**TRAIN, "epoch": 3}}),
    ("spec", {"spec": {**TRAIN, "policy": {"name": "full"}}}),
    ("", {"spec": TRAIN, "seed": 1}),
    ("seeds", {"spec": TRAIN, "seeds": []}),
    ("seeds", {"spec": TRAIN, "seeds": [-1]}),
    ("priority", {"spec": TRAIN, "priority": 11}),
    ("keep", {"spec": TRAIN, "keep": "some"}),
    ("labels/a", {"spec": TRAIN, "labels": {"a": ""}}),
    ("execution", {"spec": TRAIN, "execution": {"gpu": 1}}),
    ("$schema", {"$schema": 5, "spec": TRAIN}),
]


@pytest.mark.parametrize(("place", "body"), WRONG, ids=map(str, range(len(WRONG))))
def test_what_the_schema_refuses_the_service_refuses(
    api_server: ApiServer, schema: Mapping[str, Any], place: str, body: Any
) -> None:
    assert any(found.startswith(place) for found in errors_of(schema, body))
    assert api_server.http.post("/experiments/preview", json=body).status_code == 422


RIGHT: list[dict[str, Any]] = [
    {"model": {"width": 5}},
    {"model": {"name": "mlp", "widths": [3]}},
    {"optimizer": {"lr": 0.1}},
    {"optimizer": {"name": "sgd", "momentum": 0.9}},
    {"schedule": {"warmup": {"epochs": 1}}},
    {"schedule": {"name": "cosine", "warmup": {"steps": 2}}},
    {"init": {"gain": 2}},
    {"loss": {"label_smoothing": 0.1}},
    {"evaluate": "log"},
    {"evaluate": [1, 2]},
    {"data": {"name": "synthetic", "train_size": 100}},
    {"clip_norm": None},
]


@pytest.mark.parametrize("fields", RIGHT, ids=map(str, range(len(RIGHT))))
def test_what_the_service_takes_the_schema_takes(
    api_server: ApiServer, schema: Mapping[str, Any], fields: dict[str, Any]
) -> None:
    body = {"spec": {**TRAIN, **fields}}
    answer = api_server.http.post("/experiments/preview", json=body)
    assert answer.status_code == 200, answer.text
    assert errors_of(schema, body) == []


def test_an_error_is_that_of_the_chosen_variant(schema: Mapping[str, Any]) -> None:
    wrong = {"spec": {**TRAIN, "optimizer": {"name": "sgd", "lr": -1}}}
    (found,) = Draft202012Validator(schema).iter_errors(wrong)
    assert "/".join(map(str, found.absolute_path)) == "spec/optimizer/lr"


def test_an_error_is_that_of_the_chosen_kind(schema: Mapping[str, Any]) -> None:
    """Not one for each kind, of which an editor would show the first."""
    (found,) = Draft202012Validator(schema).iter_errors({"spec": {**TRAIN, "epochs": -1}})
    assert found.message == "-1 is less than the minimum of 0"


def test_the_address_of_the_schema_means_nothing_to_the_service(api_server: ApiServer) -> None:
    body = {"spec": TRAIN, "seeds": [7]}
    first = api_server.submit(body)
    again = api_server.submit({"$schema": "http://host/schemas/submission.json", **body})
    assert (again["id"], again["reused"]) == (first["id"], True)
    preview = api_server.http.post("/experiments/preview", json={"$schema": "x", **body})
    assert preview.json()["reuses_experiment"] == first["id"]
