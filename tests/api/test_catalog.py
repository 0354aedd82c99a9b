"""What can be asked: kinds, presets, models, data sets; and the state of the service."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.experiments.registry import kinds, presets
from engine.paper.deviations import find_recipe
from engine.sweep import expand
from storage.files.blobs import BlobStore
from tests.api.api_server import ApiServer
from tests.api.sample_files import make_npz


@pytest.mark.parametrize("name", list(kinds()))
def test_every_kind_is_described_with_its_form_its_example_and_its_page(
    api_server: ApiServer, name: str
) -> None:
    found = {kind["name"]: kind for kind in api_server.get("/kinds")["items"]}
    assert list(found) == list(kinds())
    kind = kinds()[name]
    assert found[name]["spec_schema"]["additionalProperties"] is False
    assert found[name]["example"] == kind.example
    assert found[name]["plots"] == [plot.name for plot in kind.plots]
    assert found[name]["page"].startswith(f"# `{name}`\n")
    assert api_server.get(f"/kinds/{name}") == found[name]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ({"name": "vgg5", "batch_norm": False}, 1_380_298),
        ({"name": "vgg5", "batch_norm": True, "second_kernel": 3}, 3_646_154),
        ({"name": "vgg11"}, 9_750_922),
        ({"name": "resnet18"}, 11_173_962),
        ({"name": "relu_net", "width": 100_000, "depth": 1}, 79_500_010),
        ({"name": "conv_net"}, None),
    ],
)
def test_the_models_have_the_paper_s_parameter_counts(
    api_server: ApiServer, model: dict[str, Any], parameters: int | None
) -> None:
    found = [
        one for one in api_server.get("/models")["items"] if model.items() <= one["model"].items()
    ]
    assert found
    assert all(
        sum(layer["parameters"] for layer in one["layers"]) == one["parameters"] for one in found
    )
    assert parameters is None or parameters in {one["parameters"] for one in found}


def test_presets_are_found_by_name_and_scale(api_server: ApiServer) -> None:
    listed = {(one["name"], one["scale"]) for one in api_server.get("/presets")["items"]}
    assert listed == set(presets())
    assert {one["scale"] for one in api_server.get("/presets", scale="quick")["items"]} == {"quick"}
    assert api_server.get("/presets/demo")["body"] == presets()["demo", "quick"].body
    assert api_server.http.get("/presets/demo", params={"scale": "huge"}).status_code == 422


def test_presets_stand_in_the_order_of_the_paper_s_figures(api_server: ApiServer) -> None:
    names = [one["name"] for one in api_server.get("/presets", scale="quick")["items"]]
    placed = [
        names.index(name)
        for name in ("demo", "fig1a", "fig2", "fig4a", "fig10a", "fig23", "table1")
    ]
    assert placed == sorted(placed)
    assert names[-1] == "table1"


def test_a_literal_preset_has_the_printed_learning_rate(api_server: ApiServer) -> None:
    usual, literal = api_server.get("/presets/demo"), api_server.get("/presets/demo", literal=True)
    assert literal["body"]["spec"]["optimizer"]["lr"] == 0.1
    assert len(literal["deviations"]) == len(usual["deviations"]) - 1
    assert {key: value for key, value in literal["body"].items() if key != "spec"} == {
        key: value for key, value in usual["body"].items() if key != "spec"
    }


@pytest.mark.parametrize(("name", "scale"), list(presets()))
def test_any_preset_is_literal_as_the_paper_prints_it(
    api_server: ApiServer, name: str, scale: str
) -> None:
    usual, literal = (
        api_server.get(f"/presets/{name}", scale=scale, literal=flag) for flag in (False, True)
    )
    points = expand(literal["body"]["spec"], literal["body"]["sweep"])
    for point in points:
        recipe = find_recipe(point.spec)
        assert (point.spec.optimizer, point.spec.schedule) == (recipe.optimizer, recipe.schedule)
    assert not any("learning rate" in line for line in literal["deviations"])
    kept = [line for line in usual["deviations"] if "learning rate" not in line]
    assert literal["deviations"] == kept


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
def test_what_is_no_data_set_is_refused_and_leaves_nothing(
    api_server: ApiServer, name: str, content: bytes, status: int
) -> None:
    before = {path for path in api_server.settings.resolved_blob_dir.rglob("*") if path.is_file()}
    response = api_server.http.post("/datasets", params={"name": name}, content=content)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert {
        path for path in api_server.settings.resolved_blob_dir.rglob("*") if path.is_file()
    } == before


def test_the_service_tells_its_limits_and_its_state(api_server: ApiServer) -> None:
    assert api_server.get("/limits")["max_points"] == api_server.settings.max_points
    assert api_server.get("/healthz") == {"status": "ok"}
    assert api_server.get("/workers")["items"] == []
    ready = api_server.http.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    assert "broker" in ready.json()["detail"]


def test_a_file_that_says_it_will_not_fit_is_refused_before_it_fills_the_disk(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_npz()
    monkeypatch.setattr(BlobStore, "free_bytes", lambda _: len(content) - 1)
    response = api_server.http.post("/datasets", params={"name": "large"}, content=content)
    assert (response.status_code, response.json()["code"]) == (507, "storage-full")
