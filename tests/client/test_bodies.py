"""Bodies that options change, and curves drawn with blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from richregime.commands.bodies import (
    change_body,
    read_body,
    read_seeds,
    read_seeds_or_plan,
    read_value,
    read_values,
)
from richregime.sparklines import sparkline


def test_options_change_a_copy_of_the_body() -> None:
    body = {"spec": {"kind": "train", "model": {"name": "relu_net", "width": 5}}, "seeds": [9]}
    changed = change_body(
        body,
        fields=["model.width=100", "data.name=synthetic", 'init={"name": "xavier", "gain": 2}'],
        sweep=["epochs=1,2", 'policy=[{"name": "full"}]'],
        seeds="0-2,7",
        labels=["paper=fig4"],
        name="n",
        priority=None,
    )
    assert changed == {
        "spec": {
            "kind": "train",
            "model": {"name": "relu_net", "width": 100},
            "data": {"name": "synthetic"},
            "init": {"name": "xavier", "gain": 2},
        },
        "sweep": {"epochs": [1, 2], "policy": [{"name": "full"}]},
        "seeds": [0, 1, 2, 7],
        "labels": {"paper": "fig4"},
        "name": "n",
    }
    assert body == {
        "spec": {"kind": "train", "model": {"name": "relu_net", "width": 5}},
        "seeds": [9],
    }
    assert change_body({"kind": "lws"}) == {"spec": {"kind": "lws"}}


@pytest.mark.parametrize("text", ["a", "", "1-", "0-100000", "1.5", "-1"])
def test_invalid_seeds_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_seeds(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0-2", [0, 1, 2]),
        ("decided", {"until": "decided"}),
        ("decided:3", {"until": "decided", "first": 3}),
        ("decided:3,2,8", {"until": "decided", "first": 3, "step": 2, "at_most": 8}),
    ],
)
def test_seeds_are_a_list_or_a_plan(text: str, seeds: object) -> None:
    assert read_seeds_or_plan(text) == seeds
    assert change_body({"kind": "train"}, seeds=text)["seeds"] == seeds


@pytest.mark.parametrize(
    "text", ["decide", "decided:3,2,8,1", "decided:a", "decided:-3", "decided 5"]
)
def test_an_invalid_plan_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_seeds_or_plan(text)


def test_another_name_discards_the_other_fields() -> None:
    body = {"spec": {"kind": "train", "model": {"name": "relu_net", "width": 5}}}
    changed = change_body(body, fields=["model.name=conv_net", "model.depth=1"])
    assert changed["spec"]["model"] == {"name": "conv_net", "depth": 1}
    assert change_body(body, fields=["model.name=relu_net"]) == body


def test_values_are_parsed_as_json_if_possible() -> None:
    assert read_values("1,2.5,true,vgg5") == [1, 2.5, True, "vgg5"]
    assert read_values("[1, [2]]") == [1, [2]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".001", 0.001),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("1_000", 1000),
        ("1.e-3", 0.001),
        (" .1", 0.1),
        ("True", True),
        ("False", False),
        ("None", None),
        ("007", "007"),
        ("1-2", "1-2"),
        ("1e5x", "1e5x"),
        (".", "."),
        ("truE", "truE"),
        ("٣", "٣"),
    ],
)
def test_spellings_of_python_are_values(text: str, value: object) -> None:
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)
    assert read_values(f"{text},null") == [value, None]


@pytest.mark.parametrize(
    "text", ["[.1, .2]", "{'name': 'sgd'}", "[1, None]", "{", "NaN", "-Infinity", "[Infinity]"]
)
def test_what_json_does_not_have_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is no (JSON.*write lists|number of JSON)"):
        read_value(text)
    with pytest.raises(typer.BadParameter):
        read_values(text)
    assert read_values("7") == [7]


def test_a_curve_spans_its_range_within_the_width() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, 10, 100], logarithmic=True) == sparkline([1, 2, 3])
    assert sparkline([2, 2]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline([*range(1000)], 40)) == 40


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"]
)
def test_a_body_is_read_in_every_encoding_of_json(tmp_path: Path, encoding: str) -> None:
    file, body = tmp_path / "body.json", {"spec": {"kind": "train"}, "name": "naïve"}
    file.write_text(json.dumps(body, ensure_ascii=False), encoding=encoding)
    assert read_body(str(file)) == body
