"""JSON bodies: their encodings, and the time to parse them, which is proportional to their size."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest

from api.http import json_body
from api.http.json_body import MAX_ERRORS, parse_object
from api.http.problems import ProblemRaised
from tests.api.api_server import ApiServer

BODY = {"spec": {"kind": "train"}, "name": "naïve \u2207 \U0001d703", "reuse": False}


def repeat_keys(count: int) -> bytes:
    return ("{" + ",".join(f'"k{index % (count // 2)}":1' for index in range(count)) + "}").encode()


def test_repeated_keys_are_reported_up_to_a_limit() -> None:
    with pytest.raises(ProblemRaised) as raised:
        parse_object(repeat_keys(20_000))
    assert raised.value.status == 422
    assert len(raised.value.errors) == MAX_ERRORS
    assert {error.code for error in raised.value.errors} == {"duplicate-key"}


class CountedKey(str):
    """A key that counts how often keys are compared."""

    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedKey.comparisons += 1
        return str.__eq__(self, other)


def test_repeated_keys_are_counted_in_linear_time() -> None:
    pairs = [(CountedKey(f"k{index % 500}"), 1) for index in range(1_000)]
    CountedKey.comparisons = 0
    found = json_body._gather(list(pairs))
    assert isinstance(found, json_body._RepeatedKeys)
    assert CountedKey.comparisons < 20 * len(pairs)
    assert set(found.repeated_keys) == {f"k{index}" for index in range(500)}


@pytest.fixture(scope="module")
def json_routes(api_server: ApiServer) -> list[tuple[str, str]]:
    """(method, path) of every call whose body is JSON."""
    made = api_server.submit(BODY)["id"]
    named = {"{experiment_id}": made}
    found = []
    for path, operations in api_server.get("/openapi.json")["paths"].items():
        for method, operation in operations.items():
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                for name, value in named.items():
                    path = path.replace(name, value)
                found.append((method.upper(), path))
    assert len(found) == 8, found
    return found


def make_body(api_server: ApiServer, method: str, path: str) -> dict[str, Any]:
    """A body that the call takes; actions on many experiments are dry runs."""
    if method == "PATCH":
        return {"name": BODY["name"]}
    last = path.rpartition("/")[2]
    if last in ("cancel", "retry", "delete", "label"):
        identifiers = [api_server.submit(BODY)["id"]]
        labels = {"labels": {"topic": BODY["name"]}} if last == "label" else {}
        return {"ids": identifiers, "dry_run": True} | labels
    return {"seeds": [9]} if last == "extend" else BODY


def test_a_byte_order_mark_changes_nothing(
    api_server: ApiServer, json_routes: list[tuple[str, str]]
) -> None:
    for method, path in json_routes:
        text = json.dumps(make_body(api_server, method, path), ensure_ascii=False)
        response = api_server.http.request(method, path, content=codecs.BOM_UTF8 + text.encode())
        assert response.is_success, (path, response.text)
        if "name" in response.json():
            assert response.json()["name"] == BODY["name"]


@pytest.mark.parametrize("mark", ["with a mark", "without a mark"])
@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_another_encoding_is_refused_by_its_name(
    api_server: ApiServer, json_routes: list[tuple[str, str]], encoding: str, mark: str
) -> None:
    endings = ("",) if mark == "with a mark" else ("-LE", "-BE")
    for method, path in json_routes:
        for ending in endings:
            body = json.dumps(BODY).encode(encoding + ending)
            response = api_server.http.request(method, path, content=body)
            assert (response.status_code, response.json()["code"]) == (400, "invalid-request")
            assert f"the body is {encoding}, and JSON must be UTF-8" in response.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\xff", b"{\xe9}", b"\0\0\0\0"])
def test_what_is_no_json_is_a_400_problem(api_server: ApiServer, body: bytes) -> None:
    response = api_server.http.post("/experiments/preview", content=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-request")
