"""Nets that only a worker can describe, as the API knows them: by what workers stored."""

from __future__ import annotations

from typing import Any

import pytest

from api.experiments import described_nets
from engine.data.spec import BUILTIN_DATASETS
from engine.models.layout import layout
from engine.models.plugin_models import PluginArgument, PluginModel, PluginModels, PluginProblem
from engine.models.spec import MlpSpec, PluginSpec
from storage.nets.described import count_waiting_nets, key_of, store_net
from storage.nets.plugins import store_listing
from tests.api.api_server import ApiServer
from tests.waiting import wait_until

DIGITS = BUILTIN_DATASETS["digits"]
LAYERS = layout(MlpSpec(), DIGITS)
SOURCE = f"sha256:{'0' * 64}"
LISTING = PluginModels(
    {
        "small": PluginModel(
            "small",
            SOURCE,
            "/plugins/small.py",
            "A small net.",
            (
                PluginArgument("width", "integer", 8, minimum=1),
                PluginArgument("rates", "number", (), is_list=True),
                PluginArgument("tag", "string", "a"),
            ),
        )
    },
    (PluginProblem("/plugins/bad.py", "line 1: no"), PluginProblem("/plugins/small.py", "x", "y")),
)


@pytest.fixture
def api(api_on_both_databases: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """With the plug-in `small`, and no wait for workers."""
    monkeypatch.setattr(described_nets, "WAIT_SECONDS", 0.0)
    with api_on_both_databases.db.write() as session:
        store_listing(session, "host", LISTING)
    wait_until(lambda: api_on_both_databases.get("/plugins")["items"], 10)
    return api_on_both_databases


def small(**arguments: Any) -> PluginSpec:
    return PluginSpec(
        name="small", source=SOURCE, **{"width": 8, "rates": [], "tag": "a", **arguments}
    )


def body(**model: Any) -> dict[str, Any]:
    return {"spec": {"kind": "train", "epochs": 1, "model": {"name": "small", **model}}}


def waiting(api: ApiServer) -> int:
    with api.db.read() as session:
        return count_waiting_nets(session)


def answer(api: ApiServer, model: PluginSpec, error: str | None = None) -> None:
    """As a worker does."""
    with api.db.write() as session:
        store_net(session, key_of(model, DIGITS), None if error else LAYERS, error)


def refusals(api: ApiServer, given: dict[str, Any], path: str = "/experiments") -> list[Any]:
    response = api.http.post(path, json=given)
    assert response.status_code == 422, response.text
    return [(one["pointer"], one["code"], one["detail"]) for one in response.json()["errors"]]


def test_plug_ins_and_their_problems_are_listed(api: ApiServer) -> None:
    assert api.get("/plugins")["items"] == [
        {
            "origin": "/plugins/small.py",
            "models": ["small"],
            "problems": [{"model": "y", "message": "x"}],
        },
        {
            "origin": "/plugins/bad.py",
            "models": [],
            "problems": [{"model": None, "message": "line 1: no"}],
        },
    ]
    (listed,) = [one for one in api.get("/models")["items"] if one["name"] == "small"]
    assert (listed["title"], listed["layers"]) == ("A small net.", None)
    assert listed["spec_schema"]["properties"]["width"]["minimum"] == 1
    assert listed["spec_schema"]["properties"]["name"] == {"const": "small", "type": "string"}


@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
def test_a_net_that_nobody_described_is_asked_for_once_and_the_request_can_be_repeated(
    api: ApiServer, path: str
) -> None:
    for _ in range(2):
        response = api.http.post(path, json=body(width=3))
        assert response.status_code == 503, response.text
        assert response.json()["code"] == "net-not-described"
        assert response.headers["Retry-After"] == "5"
        assert "no worker is running: start one" in response.json()["detail"]
        assert waiting(api) == 1
    assert api.count_experiments() == 0
    answer(api, small(width=3))
    response = api.http.post(path, json=body(width=3))
    assert response.status_code in (200, 201), response.text
    assert waiting(api) == 0


def test_the_layers_that_a_worker_found_are_shown(api: ApiServer) -> None:
    path, fields = "/models/small", '{"width": 5}'
    assert api.http.get(path, params={"fields": fields}).status_code == 503
    answer(api, small(width=5))
    found = api.get(path, fields=fields)
    assert found["model"] == small(width=5).model_dump(mode="json")
    assert found["parameters"] == sum(layer.num_parameters for layer in LAYERS)
    assert [one["name"] for one in found["layers"]] == [layer.name for layer in LAYERS]
    assert api.http.get(path, params={"dataset": "absent"}).status_code == 404


WRONG_FIELDS = (
    ('{"width": 0}', "#/fields/width"),
    ('{"width": 1e400}', "#/fields/width"),
    ('{"rates": [NaN]}', "#/fields/rates/0"),
    ('{"rates": [[1]]}', "#/fields/rates/0"),
    ('{"☃": 1}', "#/fields/☃"),
    ("[1]", "#/fields"),
    ("{", "#/fields"),
    ("[" * 3_000, "#/fields"),
    ('{"width": ' + "9" * 3_900 + "}x", "#/fields"),
    ('{"tag": "\\u0000"}', "#/fields/tag"),
    ('{"tag": "\\ud800"}', "#/fields/tag"),
    ('{"tag": "a", "tag": "b"}', "#/fields/tag"),
)
"""A text of fields, and the place of its error"""


def test_wrong_fields_are_told(api: ApiServer) -> None:
    for fields, pointer in WRONG_FIELDS:
        response = api.http.get("/models/small", params={"fields": fields})
        assert response.status_code == 422, (fields, response.text)
        assert [one["pointer"] for one in response.json()["errors"]] == [pointer], fields
    assert waiting(api) == 0


def test_text_of_any_alphabet_is_an_argument(api: ApiServer) -> None:
    tag = "größe ☃ \U0001f600 \n"
    assert api.http.post("/experiments", json=body(tag=tag)).status_code == 503
    answer(api, small(tag=tag))
    created = api.submit(body(tag=tag))
    assert api.get(f"/experiments/{created['id']}")["spec"]["model"]["tag"] == tag


def test_a_net_that_cannot_be_used_is_refused_at_its_value_of_the_sweep(api: ApiServer) -> None:
    swept = {**body(), "sweep": {"model.width": [3, 4]}}
    assert api.http.post("/experiments", json=swept).status_code == 503
    assert waiting(api) == 2
    answer(api, small(width=3))
    answer(api, small(width=4), "the net cannot be made: no")
    assert refusals(api, swept) == [
        (
            "#/spec/model",
            "model-rejected",
            "the net cannot be made: no (at the point model.width = 4)",
        )
    ]
    assert api.count_experiments() == 0


def test_a_sweep_of_many_nets_is_asked_for_in_one_request(api: ApiServer) -> None:
    swept = {**body(), "sweep": {"model.width": list(range(1, 201))}}
    response = api.http.post("/experiments/preview", json=swept)
    assert response.status_code == 503, response.text
    assert "and 199 other nets" in response.json()["detail"]
    assert waiting(api) == 200


def test_code_that_no_worker_has_is_refused_and_never_waits(api: ApiServer) -> None:
    for name, source in [("small", "sha256:1"), ("absent", SOURCE), ("small", "x" * 200)]:
        given = body()
        given["spec"]["model"] = {"name": name, "source": source, "width": [[{"a": None}]]}
        ((pointer, code, detail),) = refusals(api, given)
        assert (pointer, code) == ("#/spec/model", "model-rejected")
        assert f"no worker offers it as {source}" in detail
        response = api.http.get(f"/models/{name}", params={"fields": f'{{"source": "{source}"}}'})
        assert response.status_code == (404 if name == "absent" else 422)
    assert waiting(api) == 0


def test_an_unknown_net_is_told_with_the_plug_in_that_may_offer_it(api: ApiServer) -> None:
    given = body()
    given["spec"]["model"]["name"] = "smal"
    response = api.http.post("/experiments", json=given)
    (error,) = response.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/spec/model/name", "unknown-model")
    assert "did you mean small" in error["detail"]
    assert "/plugins/bad.py cannot be read: line 1: no" in error["detail"]


def test_what_is_stored_of_a_net_that_changed_since_stays_readable(api: ApiServer) -> None:
    assert api.http.post("/experiments", json=body()).status_code == 503
    answer(api, small())
    created = api.submit(body())
    with api.db.write() as session:
        store_listing(session, "host", PluginModels())
    wait_until(lambda: not api.get("/plugins")["items"], 10)
    found = api.get(f"/experiments/{created['id']}")
    assert found["spec"]["model"] == small().model_dump(mode="json")
    assert api.http.get("/models/small").status_code == 404
