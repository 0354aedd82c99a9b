"""Left-out tags, unknown fields, and all errors of a body at once."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from engine.errors import FieldError, InvalidSpec, sort_by_document
from engine.experiments.registry import kinds, parse_spec
from engine.sweep import expand


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ({"optimizer": {"lr": 0.003}}, {"optimizer": {"name": "adam", "lr": 0.003}}),
        ({"model": {"width": 50}}, {"model": {"name": "relu_net", "width": 50}}),
        ({"init": {"gain": 2.0}}, {"init": {"name": "xavier", "gain": 2.0}}),
        ({"loss": {"label_smoothing": 0.1}}, {"loss": {"name": "cross_entropy"}}),
        ({"schedule": {}}, {}),
        ({"kind": "lws", "policy": {"rho": 0.5}}, {"policy": {"name": "top_k_all_bottoms"}}),
        ({"kind": "reinit_sweep", "reset_to": {}}, {"reset_to": {"name": "init"}}),
    ],
)
def test_a_tag_that_is_left_out_is_that_of_the_default(
    short: dict[str, Any], whole: dict[str, Any]
) -> None:
    kind = {"kind": short.get("kind", "train")}
    merged = {name: {**short.get(name, {}), **part} for name, part in whole.items()}
    assert parse_spec({**kind, **short}) == parse_spec({**kind, **merged})
    assert parse_spec({**kind, **short}).digest() == parse_spec({**kind, **merged}).digest()


def test_a_value_of_a_sweep_may_leave_its_tag_out() -> None:
    values = [{"lr": 0.1}, {"name": "sgd"}]
    first, second = expand({"kind": "train"}, {"optimizer": values})
    assert (first.spec.optimizer.name, second.spec.optimizer.name) == ("adam", "sgd")


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.name)
def test_the_schema_lets_exactly_the_tags_of_defaults_be_left_out(kind: Any) -> None:
    schema = kind.spec.model_json_schema()
    tagged = 0
    for name, field in kind.spec.model_fields.items():
        default_tag = getattr(field.default, "name", None)
        if default_tag is None:
            continue
        for one in schema["properties"][name].get("oneOf", []):
            variant = schema["$defs"][one["$ref"].rpartition("/")[2]]
            tag = variant["properties"]["name"].get("const")
            assert ("name" in variant.get("required", [])) == (tag != default_tag), (name, tag)
            tagged += tag == default_tag
    assert tagged >= 5, "model, init, optimizer, schedule, loss"


def errors_of(spec: Any, sweep: dict[str, list[Any]] | None = None) -> list[FieldError]:
    with pytest.raises(InvalidSpec) as caught:
        expand(spec, sweep or {})
    return list(caught.value.errors)


@pytest.mark.parametrize(
    ("spec", "pointer", "detail"),
    [
        (
            {"evaluate": 3},
            "#/spec/evaluate",
            'must be {"every": 5}, a list of epochs like [1, 5, 20], or "log" (got 3)',
        ),
        (
            {"evaluate": "often"},
            "#/spec/evaluate",
            'must be {"every": 5}, a list of epochs like [1, 5, 20], or "log" (got \'often\')',
        ),
        (
            {"evaluate": [1, 10_001]},
            "#/spec/evaluate/1",
            "Input should be less than or equal to 10000 (got 10001)",
        ),
        (
            {"kind": "reinit_sweep", "scope": "layer"},
            "#/spec/scope",
            'must be "global", "per_layer", or a list of names of layers (got \'layer\')',
        ),
        ({"kind": "gradient_spectrum", "steps": 3}, "#/spec/steps", "must be a list (got 3)"),
        (
            {"optimizer": "sgd"},
            "#/spec/optimizer",
            'must be an object like {"name": "sgd"}; names: adam, adamw, sgd (got \'sgd\')',
        ),
        (
            {"data": "mnist"},
            "#/spec/data",
            'must be an object like {"name": "digits"} (got \'mnist\')',
        ),
        ({"checkpoints": 3}, "#/spec/checkpoints", "must be an object (got 3)"),
        (
            {"optimizer": {"name": "adamm"}},
            "#/spec/optimizer",
            "there is no optimizer 'adamm'; did you mean `adam`?",
        ),
        (
            {"init": {"name": 3}},
            "#/spec/init",
            "there is no init '3'; known: xavier, he, lecun, torch, pretrained, checkpoint",
        ),
    ],
)
def test_a_wrong_type_has_one_error_that_says_what_is_accepted(
    spec: dict[str, Any], pointer: str, detail: str
) -> None:
    (error,) = errors_of({"kind": "train", **spec})
    assert (error.pointer, error.detail) == (pointer, detail)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"epoch": 3}, "there is no such field here; did you mean `epochs`?"),
        ({"lr": 0.1}, "there is no such field here; did you mean `optimizer.lr`?"),
        ({"width": 5}, "there is no such field here; did you mean `model.width`?"),
        ({"optimizer": {"learn": 1}}, "known: name, lr, beta1, beta2, eps, weight_decay"),
        ({"optimizer": {"name": "sgd", "momentun": 0.9}}, "did you mean `momentum`?"),
        ({"schedule": {"warmup": {"epoch": 1}}}, "did you mean `epochs`?"),
        ({"data": {"corruption": {"label_nois": 1}}}, "did you mean `label_noise`?"),
        ({"model": {"name": "mlp", "width": [5]}}, "did you mean `widths`?"),
    ],
)
def test_an_unknown_field_is_told_with_the_one_that_may_be_meant(
    spec: dict[str, Any], told: str
) -> None:
    found = [one for one in errors_of({"kind": "train", **spec}) if "there is no" in one.detail]
    assert found
    assert all(told in one.detail for one in found), found


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("width", "the spec has no field 'width'; did you mean `model.width`?"),
        ("optimiser.lr", "did you mean `optimizer.lr`?"),
        ("epoch", "did you mean `epochs`?"),
    ],
)
def test_an_unknown_path_is_told_with_the_one_that_may_be_meant(path: str, told: str) -> None:
    (error,) = errors_of({"kind": "train"}, {path: [1]})
    assert told in error.detail


def test_errors_of_the_spec_of_paths_and_of_values_come_at_once() -> None:
    sweep = {"width": [1], "batch_size": [64, 0], "model.width": [10, -1]}
    spec = {"kind": "train", "epochs": -1, "model": {"depht": 1}}
    found = {(one.pointer, one.code) for one in errors_of(spec, sweep)}
    assert found == {
        ("#/spec/epochs", "greater_than_equal"),
        ("#/spec/model/depht", "extra_forbidden"),
        ("#/sweep/width", "unknown-path"),
        ("#/sweep/batch_size/1", "greater_than_equal"),
    }, "the width belongs to a model that is itself in error"


def test_an_error_about_two_fields_of_which_one_is_a_default_is_told_once() -> None:
    spec = {"kind": "lws", "policy": {"name": "freeze_out"}}
    found = errors_of(spec, {"batch_size": [64, 0]})
    assert [one.pointer for one in found] == ["#/spec/schedule/name"]


def test_only_the_first_unknown_fields_get_a_suggestion() -> None:
    found = errors_of({"kind": "train", **{f"epoch{one}": 1 for one in range(100)}})
    told = [one.detail for one in found]
    assert told.count("there is no such field here; did you mean `epochs`?") == 20
    assert told.count("there is no such field here") == 80


def test_an_invalid_field_gives_no_error_about_its_default() -> None:
    spec = {"kind": "train", "epochs": -1, "checkpoints": {"epochs": [30]}}
    found = errors_of(spec, {"batch_size": [64, 128]})
    assert [one.pointer for one in found] == ["#/spec/epochs"]


def test_errors_are_in_the_order_of_the_document_and_missing_fields_come_last() -> None:
    document = {"sweep": {"a.b": [1, 2]}, "spec": {"epochs": 1, "model": {"width": 1}}, "seeds": 1}
    pointers = ["#/seeds", "#/spec/model/width", "#/spec/other", "#/sweep/a.b/1", "#/spec/epochs"]
    errors = [FieldError(pointer, "code", "detail") for pointer in ["#/name", *pointers]]
    assert [one.pointer for one in sort_by_document([*errors, *errors], document)] == [
        *("#/sweep/a.b/1", "#/spec/epochs", "#/spec/model/width", "#/spec/other", "#/seeds"),
        "#/name",
    ]


def test_sorting_errors_copies_no_long_key_for_the_values_below_it() -> None:
    key = "a" * 100_000
    errors = [FieldError(f"#/{key}", "code", "detail"), FieldError(f"#/{key}/7", "code", "detail")]
    document = {key: [0] * 1_000}
    tracemalloc.start()
    assert sort_by_document(reversed(errors), document) == errors
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(key)
