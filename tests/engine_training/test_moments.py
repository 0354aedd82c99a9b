"""When a training evaluates and keeps its weights, and what of that its digests hold."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import InvalidSpec
from engine.experiments.registry import kinds, parse_spec
from engine.spec import Execution, ExperimentSpec, sha256_of


def make(**parts: Any) -> ExperimentSpec:
    return parse_spec({"kind": "train", "epochs": 30, **parts})


@pytest.mark.parametrize(
    ("evaluate", "epochs"),
    [
        ({"every": 1}, set(range(31))),
        ({"every": 7}, {0, 7, 14, 21, 28, 30}),
        ({"every": 100}, {0, 30}),
        ([3, 5, 99], {0, 3, 5, 30}),
        ("log", {0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30}),
    ],
)
def test_the_initial_and_the_trained_net_are_always_evaluated(
    evaluate: Any, epochs: set[int]
) -> None:
    assert make(evaluate=evaluate).evaluated_epochs() == epochs


def test_a_training_without_epochs_evaluates_the_initial_net_once() -> None:
    assert make(epochs=0).evaluated_epochs() == {0}


def test_checkpoints_after_the_training_are_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"checkpoints\.epochs holds 31"):
        make(checkpoints={"epochs": [1, 31]})


def test_the_union_of_checkpoints_is_ascending_and_distinct() -> None:
    one = make(checkpoints={"epochs": [3, 1], "steps": [5]}).checkpoints
    other = make(checkpoints={"epochs": [2, 3], "steps": [4]}).checkpoints
    assert one.union(other).names == ("epoch_1", "epoch_2", "epoch_3", "step_4", "step_5")


@pytest.mark.parametrize("kind", kinds())
def test_fields_added_later_leave_the_digests_of_earlier_specs_as_they_were(kind: str) -> None:
    spec = parse_spec({"kind": kind})
    old = spec.model_dump(mode="json")
    for path, value in spec.added_fields.items():
        parent, _, name = path.rpartition(".")
        part = old.get(parent, {}) if parent else old
        if name in part:
            assert part.pop(name) == value
    assert spec.digest() == sha256_of({"spec": old, "version": spec.version})


def test_an_added_field_with_another_value_gives_another_digest() -> None:
    digests = {
        make(**parts).digest()
        for parts in (
            {},
            {"evaluate": "log"},
            {"checkpoints": {"steps": [1]}},
            {"data": {"normalization": "unit"}},
            {"data": {"corruption": {"label_noise": 0.5}}},
            {"data": {"corruption": {"label_noise": 0.5, "seed": 1}}},
            {"data": {"corruption": {"permuted_labels": True}}},
            {"data": {"corruption": {"shuffled_pixels": True}}},
        )
    }
    assert len(digests) == 8


def test_the_identity_of_a_training_holds_what_it_logs_but_not_which_weights_it_keeps() -> None:
    execution = Execution(device="cpu")

    def digest(**parts: Any) -> str:
        return make(**parts).training_digest(0, execution, "data")

    assert digest() == digest(checkpoints={"steps": [1]})
    assert digest() != digest(evaluate="log")
    assert digest() != digest(data={"normalization": "unit"})
