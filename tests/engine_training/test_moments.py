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
    """Each at its place in the list as it was sent."""
    with pytest.raises(InvalidSpec) as caught:
        make(checkpoints={"epochs": [31, 1, 40]})
    assert [(one.pointer, one.code, one.detail) for one in caught.value.errors] == [
        (
            f"#/spec/checkpoints/epochs/{index}",
            "beyond-the-training",
            f"epoch {epoch} is beyond the training's 30 epochs; name an earlier one, or train for "
            "more epochs",
        )
        for index, epoch in ((0, 31), (2, 40))
    ]


def test_the_union_of_checkpoints_is_ascending_and_distinct() -> None:
    one = make(checkpoints={"epochs": [3, 1], "steps": [5]}).checkpoints
    other = make(checkpoints={"epochs": [2, 3], "steps": [4]}).checkpoints
    assert one.union(other).names == ("epoch_1", "epoch_2", "epoch_3", "step_4", "step_5")


UNORDERED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "evaluate": ({"evaluate": [5, 1, 5]}, {"evaluate": [1, 5]}),
    "checkpoints": (
        {"checkpoints": {"epochs": [3, 1], "steps": [9, 2, 2]}},
        {"checkpoints": {"epochs": [1, 3], "steps": [2, 9]}},
    ),
    "probes": (
        {"probes": {"epochs": [2, 1], "quantities": ["features", "movement", "features"]}},
        {"probes": {"epochs": [1, 2], "quantities": ["movement", "features"]}},
    ),
    "scope": (
        {"kind": "reinit_sweep", "scope": ["layers.10", "layers.2", "layers.2"]},
        {"kind": "reinit_sweep", "scope": ["layers.2", "layers.10"]},
    ),
    "layer_shares": (
        {
            "kind": "sparse_train",
            "masks": ["by_layer"],
            "layer_shares": [{"layer": "layers.10"}, {"layer": "layers.2", "percent": 1.0}],
        },
        {
            "kind": "sparse_train",
            "masks": ["by_layer"],
            "layer_shares": [{"layer": "layers.2", "percent": 1.0}, {"layer": "layers.10"}],
        },
    ),
    "layers of a table": (
        {"kind": "lws", "policy": {"name": "schedule", "table": [{"epoch": 1, "layers": [2, 0]}]}},
        {"kind": "lws", "policy": {"name": "schedule", "table": [{"epoch": 1, "layers": [0, 2]}]}},
    ),
}


@pytest.mark.parametrize(("given", "ordered"), UNORDERED.values(), ids=UNORDERED)
def test_the_order_of_a_list_that_means_a_set_changes_no_digest(
    given: dict[str, Any], ordered: dict[str, Any]
) -> None:
    one, other = (make(model={"depth": 12}, **parts) for parts in (given, ordered))
    assert one.digest() == other.digest()
    execution = Execution(device="cpu")
    assert one.training_spec_digest(execution) == other.training_spec_digest(execution)
    # A digest of an ordered spec is that of its JSON as it is.
    identity = other._without_added(other.model_dump(mode="json"))
    assert other.digest() == sha256_of({"spec": identity, "version": other.version})


def test_a_spec_keeps_the_order_that_was_sent() -> None:
    assert make(evaluate=[5, 1, 5]).evaluate == (5, 1, 5)
    dumped = make(checkpoints={"steps": [3, 1]}).model_dump(mode="json")
    assert dumped["checkpoints"] == {"epochs": [], "steps": [3, 1]}


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
