"""The catalog: kinds, presets, models."""

from __future__ import annotations

from typing import Any

import pytest

from engine.experiments.registry import kinds, presets
from engine.paper.departures import find_recipe
from engine.sweep import expand
from tests.api.api_server import ApiServer


@pytest.mark.parametrize("name", list(kinds()))
def test_every_kind_has_a_spec_schema_an_example_and_a_page(
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


def test_the_body_of_a_preset_alone_is_ready_to_submit(api_server: ApiServer) -> None:
    asked = {"scale": "quick", "reading": "first_epoch"}
    body = api_server.get("/presets/fig2.json", **asked)
    assert body == api_server.get("/presets/fig2", **asked)["body"]
    assert body["spec"]["reset_to"] == {"name": "epoch", "epoch": 1}
    assert api_server.http.post("/experiments/preview", json=body).status_code == 200
    assert api_server.http.get("/presets/none.json").status_code == 404


def test_presets_are_in_the_order_of_the_paper_s_figures(api_server: ApiServer) -> None:
    names = [one["name"] for one in api_server.get("/presets", scale="quick")["items"]]
    placed = [
        names.index(name)
        for name in ("demo", "fig1a", "fig2", "fig4a", "fig10a", "fig23", "table1")
    ]
    assert placed == sorted(placed)
    assert names[0] == "demo"
    others = names[placed[-1] + 1 :]
    assert others == sorted(others), "those that the paper has not come last"
    assert "lottery" in others


def test_the_readings_are_listed_with_their_fields(api_server: ApiServer) -> None:
    listed = {one["name"]: one for one in api_server.get("/readings")["items"]}
    assert list(listed) == ["printed", "trainable", "first_epoch", "few_steps"]
    assert listed["first_epoch"]["fields"] == {
        "optimizer.lr": 0.001,
        "data.normalization": "unit",
        "reset_to": {"name": "epoch", "epoch": 1},
    }
    assert all(one["sentence"].endswith(".") for one in listed.values())


def test_literal_is_the_old_name_of_the_reading_printed(api_server: ApiServer) -> None:
    printed = api_server.get("/presets/fig2", reading="printed")
    assert api_server.get("/presets/fig2", literal=True) == printed
    assert api_server.get("/presets/fig2", literal=True, reading="printed") == printed
    listed = api_server.get("/presets", literal=True)
    assert listed == api_server.get("/presets", reading="printed")
    both = {"literal": "true", "reading": "first_epoch"}
    refused = api_server.http.get("/presets/fig2", params=both)
    assert refused.status_code == 422
    assert "first_epoch" in refused.json()["detail"]
    assert api_server.http.get("/presets/fig2", params={"reading": "no"}).status_code == 422


def test_a_preset_by_a_reading_is_ready_to_submit(api_server: ApiServer) -> None:
    preset = api_server.get("/presets/fig2", reading="first_epoch")
    spec = preset["body"]["spec"]
    assert spec["reset_to"] == {"name": "epoch", "epoch": 1}
    assert spec["data"]["normalization"] == "unit"
    assert preset["reading"] == "first_epoch"
    assert preset["body"]["labels"]["reading"] == "first_epoch"
    assert api_server.http.post("/experiments/preview", json=preset["body"]).status_code == 200


@pytest.mark.parametrize(("name", "scale"), list(presets()))
def test_the_reading_printed_has_the_printed_recipe(
    api_server: ApiServer, name: str, scale: str
) -> None:
    usual, printed = (
        api_server.get(f"/presets/{name}", scale=scale, literal=flag) for flag in (False, True)
    )
    points = expand(printed["body"]["spec"], printed["body"]["sweep"])
    for point in points:
        recipe = find_recipe(point.spec)
        assert (point.spec.optimizer, point.spec.schedule) == (recipe.optimizer, recipe.schedule)
    assert not any("learning rate" in line for line in printed["departures"])
    kept = [line for line in usual["departures"] if "learning rate" not in line]
    assert printed["departures"] == kept
