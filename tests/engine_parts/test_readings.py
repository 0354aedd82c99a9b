"""The readings of the paper, and what presets depart from and choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.experiments.registry import parse_spec, presets
from engine.kind import Preset
from engine.paper.choices import list_choices
from engine.paper.departures import TRAINED_BY, is_paper_scale, list_departures
from engine.paper.preset_departures import list_preset_choices
from engine.paper.preset_readings import apply_reading, find_preset_reading
from engine.paper.readings import READINGS, ReadingName, find_reading, get_reading
from engine.sweep import expand

NAMES: tuple[ReadingName, ...] = get_args(ReadingName)
PAPER_TRAINING: dict[str, Any] = {
    "data": {"name": "mnist", "train_size": 10_000},
    "optimizer": {"name": "adam", "lr": 0.1},
    "epochs": 100,
}


def departures(kind: str = "train", /, **fields: Any) -> tuple[str, ...]:
    """Of one point that trains as the paper does but for these fields."""
    return list_departures([parse_spec({"kind": kind, **PAPER_TRAINING, **fields})], 5)


def test_the_table_of_readings() -> None:
    """As the readings were fixed before any of them was computed."""
    assert [(one.name, *one.fields.values()) for one in READINGS] == [
        ("printed", 0.1, "unit", {"name": "init"}),
        ("trainable", 0.001, "standardize", {"name": "init"}),
        ("first_epoch", 0.001, "unit", {"name": "epoch", "epoch": 1}),
        ("few_steps", 0.001, "unit", {"name": "step", "step": 20}),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", presets().values(), ids=lambda one: f"{one.name}-{one.scale}")
def test_every_preset_is_valid_by_every_reading_and_makes_its_choices(
    preset: Preset, name: ReadingName
) -> None:
    changed = apply_reading(preset, name)
    specs = [point.spec for point in expand(changed.body["spec"], changed.body["sweep"])]
    assert {spec.data.normalization for spec in specs} == {
        "standardize" if name == "trainable" else "unit"
    }
    if specs[0].kind == "reinit_sweep" and "reset_to" not in preset.body["sweep"]:
        assert find_preset_reading(changed) == name
    assert changed.title.endswith(f"(reading {name})")
    assert changed.description.endswith(get_reading(name).sentence)
    assert preset.body["labels"].keys() == changed.body["labels"].keys() - {"reading"}


@pytest.mark.parametrize("name", ["fig4a", "fig16b"])
def test_bars_of_initial_nets_are_of_the_net_that_the_reading_calls_initial(name: str) -> None:
    preset = presets()[name, "paper"]
    for reading in ("printed", "trainable"):
        assert apply_reading(preset, reading).body["spec"]["kind"] == "train"
    changed = apply_reading(preset, "first_epoch")
    assert changed.body["spec"]["kind"] == "reinit_sweep"
    assert changed.body["spec"]["fractions_percent"] == [0.0, 100.0]
    assert changed.plots == ("accuracy_bars",)
    assert changed.title.startswith("Accuracy of the net after epoch 1 and of the trained net: ")
    assert "Test accuracy of the net after epoch 1 and of the trained net" in changed.description


def test_a_preset_by_a_reading_names_the_net_that_is_reset_to() -> None:
    for name in ("fig2", "fig3", "fig14a", "fig15b"):
        preset = presets()[name, "paper"]
        nets = "initial net", "initial net", "net after epoch 1", "net after 20 steps"
        for reading, net in zip(NAMES, nets, strict=True):
            told = apply_reading(preset, reading).description
            assert f"The ends are the trained net and the {net}." in told
    unchanged = apply_reading(presets()["lazy_to_rich", "paper"], "first_epoch").description
    assert "around that of the initial net" in unchanged, "it resets nothing"


def test_the_sentence_of_first_epoch_tells_of_the_nets_that_rise_again_in_the_records() -> None:
    """At width 10,000 on MNIST, and with four hidden layers, no rise is shown."""
    assert "one hidden layer and width 100 or 1,000" in get_reading("first_epoch").sentence
    results = Path(__file__).parents[2] / "docs" / "results"
    for name in ("fig2-first_epoch", "fig14a-first_epoch"):
        verdicts = json.loads((results / f"{name}.json").read_text())["comparison"]["verdicts"]
        found = [one for rise in verdicts if rise["claim"] == 2 for one in rise["findings"]]
        rises = {one["statement"].partition(":")[0]: one["verdict"] for one in found}
        assert rises["Width 100"] == rises["Width 1,000"] == "reproduced"


def test_other_choices_are_no_reading() -> None:
    assert find_reading(parse_spec({"kind": "train"})) == "trainable"
    assert (
        find_reading(parse_spec({"kind": "train", "optimizer": {"name": "adam", "lr": 0.01}}))
        is None
    )
    unit = {"name": "mnist", "normalization": "unit"}
    assert find_reading(parse_spec({"kind": "train", "data": unit})) is None
    assert find_reading(parse_spec({"kind": "activity_map", "data": unit})) == "first_epoch"


def test_where_the_paper_prints_sgd_no_reading_has_another_optimizer() -> None:
    printed = presets()["table1", "paper"].body["spec"]
    spec = {**printed, "policy": {"name": "full"}}
    assert find_reading(parse_spec(spec)) == "trainable"
    for optimizer in ({"name": "adam", "lr": 0.01}, {**printed["optimizer"], "lr": 0.1}):
        assert find_reading(parse_spec({**spec, "optimizer": optimizer})) is None


def test_a_point_as_in_the_paper_has_no_departure() -> None:
    assert departures() == ()
    assert is_paper_scale([parse_spec({"kind": "train", **PAPER_TRAINING})], 5)
    assert not is_paper_scale([parse_spec({"kind": "train", **PAPER_TRAINING})], 4)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"optimizer": {"name": "adam", "lr": 0.1, "weight_decay": 0.01}},
         "Adam with weight decay 0.01 instead of 0"),
        ({"optimizer": {"name": "adam", "lr": 0.001, "beta1": 0.5}},
         "Adam with learning rate 0.001 instead of 0.1, beta1 0.5 instead of 0.9"),
        ({"optimizer": {"name": "sgd", "lr": 0.01, "nesterov": False}},
         "SGD with learning rate 0.01, Nesterov momentum off instead of Adam with learning rate "
         "0.1"),
        ({"model": {"name": "relu_net", "depth": 3}}, "depth 3 instead of 1 or 4"),
        ({"model": {"name": "conv_net", "depth": 1}}, "depth 1 instead of 2 or 4"),
        ({"model": {"name": "vgg5", "batch_norm": True}}, "VGG-5 with batch normalisation"),
        ({"init": {"name": "xavier", "gain": 2.0}}, "initialisation scaled by 2"),
        ({"init": {"name": "xavier", "layer_gains": [1.0, 0.5]}},
         "layers initialised at 1, 0.5 of their scale"),
        ({"batch_size": 64}, "batches of 64 instead of 128"),
        ({"data": {**PAPER_TRAINING["data"], "corruption": {"label_noise": 0.5}}},
         "50 % of the train labels drawn anew"),
        ({"data": {**PAPER_TRAINING["data"], "corruption": {"permuted_labels": True}}},
         "the train labels permuted"),
        ({"data": {**PAPER_TRAINING["data"], "corruption": {"shuffled_pixels": True}}},
         "the pixels shuffled"),
    ],
)  # fmt: skip
def test_every_difference_is_told(fields: dict[str, Any], line: str) -> None:
    assert departures(**fields) == (line,)


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        ({"name": "random_beta", "alpha": 1.0}, "Beta(1, 5) instead of Beta(2, 5)"),
        ({"name": "top_k_all_bottoms", "rho": 0.7}, "rho = 0.7, which the paper does not draw"),
    ],
)
def test_parameters_of_a_policy_are_told(policy: dict[str, Any], line: str) -> None:
    assert departures("lws", model={"name": "vgg5"}, policy=policy) == (line,)


def test_the_nets_of_figure_1_are_told_by_their_own_definition() -> None:
    as_printed = {"name": "vgg5", "second_kernel": 3, "batch_norm": True}
    assert departures("gradient_spectrum", model=as_printed) == ()
    assert "VGG-5 without batch normalisation" in departures(
        "gradient_spectrum", model={"name": "vgg5"}
    )


def test_shares_of_an_activity_map_are_told() -> None:
    model = {"name": "relu_net", "depth": 4}
    found = departures("activity_map", model=model, alphas_percent=[5.0])
    assert found == ("alpha of 5 % instead of 1, 10, 30 %",)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"criterion": "magnitude"}, "parameters ranked by magnitude instead of by movement"),
        ({"scope": "per_layer"},
         "the same share of each layer reset instead of the share of all parameters"),
        ({"scope": ["layers.1", "layers.2"]}, "only parameters of layers.1, layers.2 reset"),
        ({"reset_to": {"name": "fresh"}}, "reset to a fresh draw instead of the initial weights"),
        ({"reset_to": {"name": "zero"}}, "reset to zero instead of the initial weights"),
    ],
)  # fmt: skip
def test_which_parameters_are_reset_is_told(fields: dict[str, Any], line: str) -> None:
    model = {"name": "relu_net", "depth": 4}
    assert departures("reinit_sweep", model=model, **fields) == (line,)


def test_the_nets_that_a_kind_trains_are_those_of_its_presets() -> None:
    for kind, nets in TRAINED_BY.items():
        found = {
            point.spec.model.name
            for (_, scale), preset in presets().items()
            if scale == "paper" and preset.body["labels"]["preset"][:3] in ("fig", "tab")
            for point in expand(preset.body["spec"], preset.body["sweep"])
            if point.spec.kind == kind
        }
        assert found == set(nets)
    other = {"name": "relu_net", "depth": 4}
    assert "the net relu_net instead of vgg5 or vgg11" in departures("lws", model=other)
    assert not is_paper_scale([parse_spec({"kind": "lws", **PAPER_TRAINING, "model": other})], 5)


def test_choices_are_told_for_every_preset() -> None:
    for preset in presets().values():
        found = list_preset_choices(preset)
        assert any("pixels" in line for line in found)
        assert any("biases start at zero" in line for line in found)
    wide = list_preset_choices(presets()["fig5", "paper"])
    assert "the width of the wide net, which the paper does not name" in wide
    assert any("Top 3 Bottom 3" in one for one in list_preset_choices(presets()["fig9a", "paper"]))
    assert any("k = q" in one for one in list_preset_choices(presets()["fig7b", "paper"]))
    assert any(
        "batch normalisation" in one for one in list_preset_choices(presets()["fig1a", "paper"])
    )


def test_choices_of_a_policy() -> None:
    spec = {"kind": "lws", "model": {"name": "vgg5"}}
    full = parse_spec({**spec, "policy": {"name": "full"}})
    drawn = parse_spec({**spec, "policy": {"name": "random_uniform"}})
    rho = parse_spec({**spec, "policy": {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1}})
    assert not any("frozen" in line for line in list_choices([full]))
    assert any("number of layers" in line for line in list_choices([drawn]))
    assert any("every rho" in line for line in list_choices([rho]))
