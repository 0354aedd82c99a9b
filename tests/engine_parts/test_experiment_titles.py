"""Titles of experiments without a name tell what differs from the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from engine.experiment_titles import make_title
from engine.experiments.registry import parse_spec

POLICIES = [{"name": "full"}, {"name": "top_k", "k": 1}, {"name": "middle"}, {"name": "bottom_q"}]


@pytest.mark.parametrize(
    ("spec", "sweep", "title"),
    [
        ({}, {}, "train"),
        ({"epochs": 5}, {"model.width": [10, 30, 100]}, "train, width 10 to 100, epochs 5"),
        ({}, {"model.width": [10, 100]}, "train, width 10 and 100"),
        ({"optimizer": {"lr": 0.1}}, {}, "train, lr 0.1"),
        ({"optimizer": {"name": "sgd"}}, {}, "train, sgd"),
        ({"optimizer": {"name": "sgd", "lr": 0.5}}, {}, "train, sgd, lr 0.5"),
        (
            {"model": {"name": "vgg5", "width_multiplier": 0.25}},
            {},
            "train, vgg5, width_multiplier 0.25",
        ),
        ({"data": {"name": "mnist", "train_size": 1000}}, {}, "train, mnist, train_size 1,000"),
        ({"checkpoints": {"epochs": [1]}}, {}, "train, checkpoints.epochs [1]"),
        (
            {"model": {"name": "torchvision", "architecture": "resnet18", "stem": "small"}},
            {},
            "train, torchvision, resnet18, stem small",
        ),
        ({"kind": "lws"}, {"policy": POLICIES}, "lws, policy full and 3 others"),
        ({"kind": "lws"}, {"policy": POLICIES[:2]}, "lws, policy full and top_k"),
        ({"kind": "lws", "policy": {"name": "full"}}, {}, "lws, full"),
    ],
)
def test_a_title_tells_the_kind_the_axes_and_what_differs(
    spec: dict[str, Any], sweep: dict[str, list[Any]], title: str
) -> None:
    whole = parse_spec({"kind": "train", **spec}).model_dump(mode="json")
    made = make_title(whole["kind"], whole, sweep)
    assert made == title


def test_a_kind_that_is_gone_is_named_with_its_axes() -> None:
    assert make_title("gone", {"kind": "gone", "x": 1}, {"x": [1, 2]}) == "gone, x 1 and 2"


def test_a_title_has_at_most_a_hundred_letters() -> None:
    spec = parse_spec({"kind": "reinit_sweep"}).model_dump(mode="json")
    spec["fractions_percent"] = [one / 7 for one in range(100)]
    made = make_title("reinit_sweep", spec, {})
    assert len(made) == 100
    assert made.endswith("…")
