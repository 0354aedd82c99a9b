"""Invalid requests: problems with a pointer to every error; nothing is queued."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.http.problems import problem_type
from engine.experiments.registry import kinds
from schemas.problems import ProblemCode
from tests.api.api_server import ApiServer

DOCS = Path(__file__).parents[2] / "docs"

Expected = tuple[int, str, set[str]]


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": {"kind": "train", **fields}}


REFUSED: dict[str, tuple[Any, Expected]] = {
    "unknown kind": ({"spec": {"kind": "none"}}, (422, "invalid-spec", {"#/spec/kind"})),
    "no kind": ({"spec": {}}, (422, "invalid-spec", {"#/spec/kind"})),
    "no spec": ({}, (422, "invalid-spec", {"#/spec"})),
    "spec is a list": ({"spec": []}, (422, "invalid-spec", {"#/spec"})),
    "body is a list": ([], (422, "invalid-spec", {"#"})),
    "body is null": (None, (422, "invalid-spec", {"#"})),
    "unknown fields": (
        {**spec(epoch=3), "seed": 1},
        (422, "invalid-spec", {"#/spec/epoch", "#/seed"}),
    ),
    "wrong types": (
        {**spec(epochs="3", batch_size=1.5), "name": 3},
        (422, "invalid-spec", {"#/spec/epochs", "#/spec/batch_size", "#/name"}),
    ),
    "width 0": (
        spec(model={"name": "relu_net", "width": 0}),
        (422, "invalid-spec", {"#/spec/model/width"}),
    ),
    "width 10^9": (
        spec(model={"name": "relu_net", "width": 10**9}),
        (422, "invalid-spec", {"#/spec/model/width"}),
    ),
    "too many parameters": (
        spec(model={"name": "relu_net", "width": 1_000_000}),
        (422, "limit-exceeded", {"#/spec/model"}),
    ),
    "an integer of 300 digits": (
        spec(optimizer={"name": "adam", "lr": 10**300 * 10**50}),
        (422, "invalid-spec", {"#/spec/optimizer/lr"}),
    ),
    "unknown model": (spec(model={"name": "gpt"}), (422, "invalid-spec", {"#/spec/model/name"})),
    "no seeds": ({**spec(), "seeds": []}, (422, "invalid-spec", {"#/seeds"})),
    "the same seed twice": ({**spec(), "seeds": [1, 1]}, (422, "invalid-spec", {"#/seeds/1"})),
    "seeds below 0": ({**spec(), "seeds": [0, -1]}, (422, "invalid-spec", {"#/seeds/1"})),
    "10^6 points": (
        {
            **spec(),
            "sweep": {path: list(range(100)) for path in ("model.width", "epochs", "batch_size")},
        },
        (422, "plan-too-large", {"#/sweep"}),
    ),
    "an axis without values": (
        {**spec(), "sweep": {"model.width": []}},
        (422, "invalid-spec", {"#/sweep/model.width"}),
    ),
    "axes that are no fields": (
        {**spec(), "sweep": {"none.size": [1], "nothing": [1]}},
        (422, "invalid-spec", {"#/sweep/none.size", "#/sweep/nothing"}),
    ),
    "an axis that this model has not": (
        {**spec(), "sweep": {"model.size": [1]}},
        (422, "invalid-spec", {"#/sweep/model.size/0"}),
    ),
    "a sweep that is no object": ({**spec(), "sweep": [1]}, (422, "invalid-spec", {"#/sweep"})),
    "a bad value of an axis": (
        {**spec(), "sweep": {"model.width": [10, 0], "epochs": [1, "2"]}},
        (422, "invalid-spec", {"#/sweep/model.width/1", "#/sweep/epochs/1"}),
    ),
    "unknown data set": (
        spec(data={"name": "imagenet"}),
        (422, "invalid-spec", {"#/spec/data/name"}),
    ),
    "unknown data set in a sweep": (
        {**spec(), "sweep": {"data.name": ["digits", "imagenet"]}},
        (422, "invalid-spec", {"#/sweep/data.name/1"}),
    ),
    "a data set's name that is a path": (
        spec(data={"name": "../../etc/passwd"}),
        (422, "invalid-spec", {"#/spec/data/name"}),
    ),
    "more examples than there are": (
        spec(data={"name": "digits", "train_size": 5000}),
        (422, "invalid-spec", {"#/spec/data/train_size"}),
    ),
    "pretrained weights for another net": (
        spec(init={"name": "pretrained"}),
        (422, "invalid-spec", {"#/spec/init"}),
    ),
    "a checkpoint that is not there": (
        spec(init={"name": "checkpoint", "checkpoint": "art_none"}),
        (422, "invalid-spec", {"#/spec/init/checkpoint"}),
    ),
    "a NUL in a name": ({**spec(), "name": "a\0b"}, (422, "invalid-spec", {"#/name"})),
    "half a character": (
        {**spec(), "labels": {"a": "\ud800"}},
        (422, "invalid-spec", {"#/labels/a"}),
    ),
    "every mistake at once": (
        {
            **spec(epochs=-1, optimizer={"name": "adam", "lr": -1}),
            "seeds": [],
            "sweep": {"x": []},
            "y": 1,
        },
        (
            422,
            "invalid-spec",
            {"#/spec/epochs", "#/spec/optimizer/lr", "#/seeds", "#/sweep/x", "#/y"},
        ),
    ),
}
REFUSED_TEXT: dict[str, tuple[bytes, Expected]] = {
    "empty": (b"", (400, "invalid-request", set())),
    "broken": (b'{"spec": ', (400, "invalid-request", set())),
    "not UTF-8": (b'{"spec": "\xff"}', (400, "invalid-request", set())),
    "an integer of 5,000 digits": (
        b'{"spec": ' + b"1" * 5000 + b"}",
        (400, "invalid-request", set()),
    ),
    "NaN": (
        b'{"spec": {"kind": "train", "optimizer": {"name": "adam", "lr": NaN}}, '
        b'"seeds": [Infinity]}',
        (422, "invalid-spec", {"#/spec/optimizer/lr", "#/seeds/0"}),
    ),
    "a number that overflows": (b'{"spec": 1e999}', (422, "invalid-spec", {"#/spec"})),
    "a key twice": (
        b'{"spec": {"kind": "train", "kind": "lws"}}',
        (422, "invalid-spec", {"#/spec/kind"}),
    ),
    "17 deep": (b"[" * 17 + b"]" * 17, (422, "invalid-spec", {"#" + "/0" * 16})),
    "100,000 deep": (b"[" * 100_000, (422, "invalid-spec", {"#"})),
}


@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_TEXT])
def test_an_invalid_body_gets_a_pointer_to_every_error(
    api_server: ApiServer, name: str, path: str
) -> None:
    if name in REFUSED:
        body, (status, code, pointers) = REFUSED[name]
        content = json.dumps(body).encode()
    else:
        content, (status, code, pointers) = REFUSED_TEXT[name]
    before = api_server.count_experiments()
    response = api_server.http.post(
        path, content=content, headers={"content-type": "application/json"}
    )
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert {error["pointer"] for error in problem.get("errors", [])} == pointers
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert api_server.count_experiments() == before
    assert "Traceback" not in response.text


@pytest.mark.parametrize("name", list(kinds()))
def test_every_error_in_a_spec_is_listed_for_every_kind(api_server: ApiServer, name: str) -> None:
    before = api_server.count_experiments()
    mistakes = {
        "epochs": "3",
        "batch_size": 0,
        "data": {"name": "digits", "seed": -1},
        "no_such_field": 1,
    }
    response = api_server.http.post("/experiments", json={"spec": {"kind": name, **mistakes}})
    assert response.status_code == 422
    pointers = {error["pointer"] for error in response.json()["errors"]}
    assert pointers == {
        f"#/spec/{at}" for at in ("epochs", "batch_size", "data/seed", "no_such_field")
    }
    assert api_server.count_experiments() == before


@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
def test_a_sweep_of_a_million_points_is_refused_before_it_is_expanded(
    api_server: ApiServer, path: str
) -> None:
    axes = {
        name: list(range(1, 101)) for name in ("model.width", "epochs", "batch_size", "model.depth")
    }
    response = api_server.http.post(path, json={**spec(), "sweep": axes})
    assert (response.status_code, response.json()["code"]) == (422, "plan-too-large")
    assert "100,000,000" in response.json()["errors"][0]["detail"]
    assert f"{api_server.settings.max_points:,}" in response.json()["errors"][0]["detail"]


def test_a_body_of_a_megabyte_gets_a_413_response(api_server: ApiServer) -> None:
    before = api_server.count_experiments()
    for content in (b" " * (1 << 20), (b" " * 65_536 for _ in range(16))):
        response = api_server.http.post("/experiments", content=content)
        assert (response.status_code, response.json()["code"]) == (413, "payload-too-large")
    assert api_server.count_experiments() == before


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/plots/none.png", 404, "not-found"),
        ("/plots/none.json", 404, "not-found"),
        ("/plots/learning_curve.gif", 404, "not-found"),
        ("/plots/learning_curve", 404, "not-found"),
        ("/plots/learning_curve.png?width=-1", 422, "invalid-request"),
        ("/plots/learning_curve.png?dpi=100000", 422, "invalid-request"),
        ("/plots/learning_curve.png?xscale=cubic", 422, "invalid-request"),
        ("/runs?cursor=garbage", 422, "invalid-request"),
        ("/events?cursor=garbage", 422, "invalid-request"),
        ("/events?after=-1", 422, "invalid-request"),
        ("/metrics?points=0", 422, "invalid-request"),
        ("/result", 409, "not-ready"),
    ],
)
def test_a_missing_part_of_an_experiment_is_a_problem(
    api_server: ApiServer, path: str, status: int, code: str
) -> None:
    url = f"/experiments/{api_server.submit({'spec': {'kind': 'train'}})['id']}"
    response = api_server.http.get(url + path)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/experiments/exp_none", 404, "not-found"),
        ("GET", "/experiments/exp_none/events", 404, "not-found"),
        ("GET", "/experiments/exp_none/metrics", 404, "not-found"),
        ("GET", "/experiments/exp_none/plots/learning_curve.png", 404, "not-found"),
        ("GET", "/experiments/exp_none/export", 404, "not-found"),
        ("POST", "/experiments/exp_none/cancel", 404, "not-found"),
        ("POST", "/experiments/exp_none/retry", 404, "not-found"),
        ("DELETE", "/experiments/exp_none", 404, "not-found"),
        ("GET", "/runs/run_none", 404, "not-found"),
        ("GET", "/runs/run_none/metrics", 404, "not-found"),
        ("GET", "/artifacts/art_none", 404, "not-found"),
        ("GET", "/kinds/none", 404, "not-found"),
        ("GET", "/presets/none", 404, "not-found"),
        ("GET", "/datasets/none", 404, "not-found"),
        ("GET", "/view/exp_none", 404, "not-found"),
        ("GET", "/assets/none.css", 404, "not-found"),
        ("GET", "/assets/../main.py", 404, "not-found"),
        ("GET", "/nothing/here", 404, "not-found"),
        ("PUT", "/experiments", 405, "method-not-allowed"),
        ("GET", "/experiments?limit=0", 422, "invalid-request"),
        ("GET", "/experiments?limit=many", 422, "invalid-request"),
        ("GET", "/experiments?status=odd", 422, "invalid-request"),
        ("GET", "/experiments?cursor=garbage", 422, "invalid-request"),
        ("GET", "/experiments?cursor=WzFd", 422, "invalid-request"),
        ("GET", "/experiments?name=%00", 400, "invalid-request"),
        ("GET", "/experiments/%00", 400, "invalid-request"),
    ],
)
def test_every_error_is_a_problem(
    api_server: ApiServer, method: str, path: str, status: int, code: str
) -> None:
    response = api_server.http.request(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) >= {
        "type",
        "title",
        "status",
        "code",
        "detail",
        "instance",
        "request_id",
    }


def test_the_example_of_the_reference_is_the_service_s_response(api_server: ApiServer) -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    example = json.loads(block)
    body = {**spec(epochs=-1), "seeds": [0, 0]}
    response = api_server.http.post(example["instance"], json=body).json()
    assert response.pop("request_id") != example.pop("request_id")
    assert response == example


@pytest.mark.parametrize("code", list(ProblemCode))
def test_the_type_of_a_problem_leads_to_what_the_guide_says_of_its_code(
    api_server: ApiServer, code: ProblemCode
) -> None:
    page = api_server.http.get(problem_type(code, "")).text
    section = page.partition(f'<h3 id="{code}">')[2].partition("<h")[0]
    assert "<p>Status " in section
    assert "<p>What to do: " in section


def test_a_problem_as_a_page_links_to_its_type(api_server: ApiServer) -> None:
    path = "/experiments/exp_none"
    problem = api_server.http.get(path).json()
    assert problem["type"] == "/guide/errors#not-found"
    page = api_server.http.get(path, headers={"Accept": "text/html"}).text
    assert f'href="{problem["type"]}"' in page


def test_a_limit_s_error_names_value_and_limit(api_server: ApiServer) -> None:
    body = {"spec": {"kind": "train"}, "sweep": {"model.width": [10, 1_000_000]}}
    error = api_server.http.post("/experiments", json=body).json()["errors"][0]
    assert "795,000,010" in error["detail"]
    assert f"{api_server.settings.max_parameters:,}" in error["detail"]
    assert "1000000" in error["detail"].replace(",", ""), "which point"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"priority": 99, "status": "failed"}, {"#/priority", "#/status"}),
        ({"labels": {"a": 1}}, {"#/labels/a"}),
        ({"name": ""}, {"#/name"}),
    ],
)
def test_an_invalid_update_changes_nothing(
    api_server: ApiServer, body: dict[str, Any], pointers: set[str]
) -> None:
    url = f"/experiments/{api_server.submit({'spec': {'kind': 'train'}})['id']}"
    before = api_server.get(url)
    response = api_server.http.patch(url, json=body)
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == pointers
    assert api_server.get(url) == before


def test_a_405_response_lists_the_allowed_methods(api_server: ApiServer) -> None:
    for method, path, allowed in (
        ("PUT", "/experiments", "GET, HEAD, POST"),
        ("POST", "/experiments/exp_none", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/view/exp_none", "GET, HEAD"),
        ("PUT", "/login", "GET, HEAD, POST"),
        ("POST", "/assets/page.css", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ):
        response = api_server.http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed), path
    assert api_server.http.options("/experiments/preview").headers["allow"] == "POST"
