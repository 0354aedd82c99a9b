"""The client's types agree with openapi.yaml, and accept what a newer service may add."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from engine.experiments.registry import kinds
from ops.client_types import client_modules
from richregime import (
    Client,
    Execution,
    Experiment,
    Page,
    Result,
    TrainPointResult,
    calls,
    enums,
    types,
)
from richregime.event_stream import END_MESSAGE
from richregime.progress import HIDDEN_EVENTS
from schemas.events import EventName
from schemas.problems import PROBLEM_MEDIA_TYPE

ROOT = Path(__file__).parents[2]
OPENAPI = yaml.load((ROOT / "openapi.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
SCHEMAS: Mapping[str, Mapping[str, Any]] = OPENAPI["components"]["schemas"]
REFERENCE = "#/components/schemas/"
BASES = {"PointResult"}
"""Models without a schema of their own: the fields that all kinds' points share."""
MODELS = {
    name: member
    for name, member in vars(types).items()
    if inspect.isclass(member)
    and issubclass(member, BaseModel)
    and member.__module__ == types.__name__
    and name not in BASES
}
ENUMS: dict[str, type[StrEnum]] = {
    name: member
    for name, member in vars(enums).items()
    if inspect.isclass(member) and issubclass(member, StrEnum) and member is not StrEnum
}


def test_the_generated_modules_are_current() -> None:
    for path, text in client_modules().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m ops.client_types`"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fields_of_its_schema(name: str) -> None:
    schema, model = SCHEMAS[name], MODELS[name]
    assert set(model.model_fields) == set(schema["properties"])
    required = {key for key, field in model.model_fields.items() if field.is_required()}
    properties = schema["properties"]
    tags = {key for key in properties if key == "name" and "const" in properties[key]}
    assert required == set(schema.get("required", ())) - tags, "the class itself is the tag"
    assert all(model.model_fields[key].default == properties[key]["const"] for key in tags)


@pytest.mark.parametrize("name", MODELS)
def test_a_field_has_the_type_of_its_schema(name: str) -> None:
    hints = typing.get_type_hints(MODELS[name], vars(types))
    for key, schema in SCHEMAS[name]["properties"].items():
        if (name, key) == ("Result", "points"):
            continue  # any object in the API; the client reads the fields that all kinds share
        assert _describe_hint(hints[key]) == _describe_schema(schema), f"{name}.{key}"


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_values_of_its_schema(name: str) -> None:
    assert [one.value for one in ENUMS[name]] == SCHEMAS[name]["enum"]


def test_the_points_of_every_kind_share_the_base_fields() -> None:
    shared = set(types.PointResult.model_fields)
    for result in types.RESULTS.values():
        (point,) = _references(SCHEMAS[result.__name__]["properties"]["points"])
        assert shared <= set(SCHEMAS[point]["properties"])


def test_every_schema_of_a_response_has_a_class() -> None:
    pending = [
        reference
        for operations in OPENAPI["paths"].values()
        for operation in operations.values()
        for response in operation["responses"].values()
        for reference in _references(response)
    ]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _references(SCHEMAS[name])
    assert {name for name in found if "Page_" not in name} == {*MODELS, *ENUMS}


def test_every_kind_of_the_engine_has_a_result_class() -> None:
    assert set(types.RESULTS) == set(kinds())


def test_every_call_is_an_operation_of_the_api_and_reads_its_response() -> None:
    """All calls are built with placeholder arguments; their return types name the responses."""
    called = set()
    for function, call in build_calls():
        path, operation = find_operation(call)
        called.add((call.method, path))
        parameters = {one["name"] for one in operation.get("parameters", ())}
        assert set(call.params) <= parameters, call
        hint = typing.get_args(typing.get_type_hints(function)["return"])[0]
        success = next(value for key, value in operation["responses"].items() if key[0] == "2")
        schema = success.get("content", {}).get("application/json", {}).get("schema", {})
        if inspect.isclass(hint) and issubclass(hint, BaseModel) and hint is not Result:
            assert f"{REFERENCE}{schema_name(hint)}" == schema["$ref"], function
    assert OPERATIONS - called == WITHOUT_METHOD


OF_PAGES: set[Callable[..., Any]] = {calls.read_guide, calls.get_schema}
"""Calls of pages and documents, which the description of the API leaves out"""
WITHOUT_METHOD = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/runs/{run_id}/metrics"),
    ("GET", "/presets/{name}.json"),
    ("GET", "/datasets/{name}"),
    ("GET", "/checkpoints/{checkpoint_id}"),
}
OPERATIONS = {
    (method.upper(), path) for path, operations in OPENAPI["paths"].items() for method in operations
}


def build_calls() -> Iterator[tuple[Callable[..., Any], calls.Call[Any]]]:
    for function in [*vars(calls).values()]:
        if not inspect.isfunction(function) or function.__module__ != calls.__name__:
            continue
        hints = typing.get_type_hints(function)
        if typing.get_origin(hints.get("return")) is not calls.Call or function in OF_PAGES:
            continue
        required = {
            name: placeholder(hints[name])
            for name, one in inspect.signature(function).parameters.items()
            if one.default is one.empty
        }
        yield function, function(**required)


def placeholder(hint: Any) -> Any:
    """A value of the type of a parameter."""
    values = {str: "x", int: 1, bool: True, bytes: b"x"}
    return values.get(hint, {} if "Mapping" in str(hint) or "Options" in str(hint) else ())


def find_operation(call: calls.Call[Any]) -> tuple[str, Mapping[str, Any]]:
    """The path and the operation of a call; a path without parameters first."""
    for path in sorted(OPENAPI["paths"], key=lambda path: path.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), call.path):
            return path, OPENAPI["paths"][path][call.method.lower()]
    raise AssertionError(f"the API has no path {call.path}")


def schema_name(model: type[BaseModel]) -> str:
    """The name of the schema of a class: `Page_Run_` of `Page[Run]`."""
    metadata = model.__pydantic_generic_metadata__
    if not metadata["origin"]:
        return model.__name__
    return f"{metadata['origin'].__name__}_{metadata['args'][0].__name__}_"


def test_constants_agree_with_the_service() -> None:
    assert calls.PROBLEM_MEDIA_TYPE == PROBLEM_MEDIA_TYPE
    assert END_MESSAGE == EventName.END
    assert set(map(str, EventName)) >= HIDDEN_EVENTS
    assert set(calls.SubmitOptions.__annotations__) == set(SCHEMAS["Submission"]["properties"]) - {
        "spec"
    }


STATISTIC = {"mean": 0.5, "standard_error": None, "ci95": None, "n": 1}
POINT = {"point": {}, "outcome": "trained", "seeds": [0], "test_accuracy": STATISTIC}


def test_unknown_fields_and_enum_values_are_kept() -> None:
    execution = Execution.model_validate({"device": "tpu", "pods": 2})
    assert execution.device == "tpu"
    assert execution.model_dump()["pods"] == 2
    entry = {"id": "a", "at": "2025-01-01T00:00:00Z", "owner": None, "key_id": None}
    entry |= {"action": "renamed", "target": None, "request_id": None, "detail": None}
    assert types.AuditEntry.model_validate(entry).action == "renamed"


def test_known_enum_values_become_members() -> None:
    entry = {"id": "a", "at": "2025-01-01T00:00:00Z", "owner": None, "key_id": None}
    entry |= {"action": "deleted", "target": None, "request_id": None, "detail": None}
    assert types.AuditEntry.model_validate(entry).action is enums.Action.DELETED


def test_an_unknown_kind_keeps_all_fields_of_its_points() -> None:
    point = {**POINT, "sharpness": STATISTIC}
    result = Result.model_validate({"kind": "x", "points": [point], "seeds": 1, "reused": []})
    assert result.points[0].test_accuracy.mean == 0.5
    assert getattr(result.points[0], "sharpness") == STATISTIC  # noqa: B009


def test_types_do_not_look_up_names_of_the_program() -> None:
    """A class of the user's may have the name of a type, such as `Progress` of rich."""
    problem = {"type": "t", "title": "t", "status": 422, "code": "invalid-spec", "detail": "d"}
    problem |= {"errors": [{"pointer": "#/a", "code": "c", "detail": "d"}]}
    script = (
        "from richregime import ProblemError\n"
        "from richregime.types import Problem\n"
        f"(error,) = Problem.model_validate({problem}).errors\n"
        "print(type(error).__module__)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == types.__name__


def test_a_policy_is_chosen_by_its_name() -> None:
    policy: TypeAdapter[Any] = TypeAdapter(types.AnyPolicy)
    assert policy.validate_python({"name": "top_k", "k": 2}) == types.TopKPolicy(k=2)
    assert policy.validate_python({"name": "new", "k": 2}) == {"name": "new", "k": 2}


def test_a_result_of_a_kind_adds_its_fields() -> None:
    assert issubclass(TrainPointResult, types.PointResult)
    assert "train_loss" in TrainPointResult.model_fields
    assert issubclass(Page[Experiment], Page)
    assert inspect.signature(Client.result).return_annotation == "Result"


def _describe_schema(schema: Mapping[str, Any]) -> Any:
    """A schema as a comparable value: JSON types, references, enumerations."""
    if "$ref" in schema:
        return _describe_reference(schema["$ref"].removeprefix(REFERENCE))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _flatten({_describe_schema(one) for one in schema[union]})
    if "enum" in schema or "const" in schema:
        return frozenset(schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return ("tuple", *(_describe_schema(one) for one in schema["prefixItems"]))
    kind = schema.get("type")
    if kind == "array":
        return ("array", _describe_schema(schema["items"]))
    if kind == "object":
        values = [*schema.get("patternProperties", {}).values()]
        inner = schema.get("additionalProperties", values[0] if values else True)
        key = _describe_schema(schema["propertyNames"]) if "propertyNames" in schema else "string"
        return ("object", key, "any" if inner is True else _describe_schema(inner))
    return schema.get("format", kind) or "any"


def _describe_reference(name: str) -> Any:
    return frozenset(SCHEMAS[name]["enum"]) if "enum" in SCHEMAS[name] else name


def _describe_hint(hint: Any) -> Any:
    """A type as `_describe_schema` describes its schema."""
    names = {int: "integer", float: "number", str: "string", bool: "boolean", NoneType: "null"}
    if hint in names:
        return names[hint]
    if hint is Any:
        return "any"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return frozenset(arguments)
    if origin in (list, dict) or (origin is tuple and arguments[-1] is Ellipsis):
        inner = [_describe_hint(one) for one in arguments if one is not Ellipsis]
        return ("object", *inner) if origin is dict else ("array", *inner)
    if origin is tuple:
        return ("tuple", *map(_describe_hint, arguments))
    if arguments:
        return _describe_union(arguments)
    if hint.__module__ == enums.__name__:
        return frozenset(one.value for one in hint)
    return "date-time" if hint.__name__ == "datetime" else hint.__name__


def _describe_union(members: tuple[Any, ...]) -> Any:
    """A union, without the `str` or `dict` that only keeps it open."""
    described = {_describe_hint(one) for one in members}
    if any(isinstance(one, frozenset) for one in described):
        described.discard("string")
    if sum(inspect.isclass(one) and issubclass(one, BaseModel) for one in members) > 1:
        described.discard(("object", "string", "any"))
    return _flatten(described)


def _flatten(described: set[Any]) -> Any:
    """A union of unions is one union."""
    members: set[Any] = set()
    for one in described:
        is_union = isinstance(one, tuple) and one[0] == "union"
        members |= one[1] if is_union else {one}
    return members.pop() if len(members) == 1 else ("union", frozenset(members))


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [schema["$ref"].removeprefix(REFERENCE)] if "$ref" in schema else []
        inner = (value for key, value in schema.items() if key != "discriminator")
        return own + [name for value in inner for name in _references(value)]
    if isinstance(schema, list):
        return [name for one in schema for name in _references(one)]
    return []
