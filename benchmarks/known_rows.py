"""The rows of the known answers: settings, published numbers, specs, and rules set beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.known_rules import (
    Answer,
    at_most,
    contains,
    could_be_drawn,
    lies_between,
    mean_interval,
)
from benchmarks.options import Options
from benchmarks.width_slopes import list_specs, slope_over
from engine.experiments.registry import presets

CROPPED, CROPPED_RANDOM = "cifar10-jpeg-28", "cifar10-jpeg-28-random"
CROP = slice(2, 30)
CHANCE = 0.1
DRAWN = "it lies where 95 % of further seeds of ours would"
NO_FURTHER_EVIDENCE = (
    "classifies as the random net of width 100, since scaled weights or outputs leave the largest "
    "output the largest: no further evidence"
)
LEE = "arXiv 1902.06720, Theorem 2.1"
SECOND_ORDER = (
    "terms of second order, each of width^(-3/2), have the random signs of the output weights"
)
TICKET_EPOCHS, TICKET_SEEDS = 4, 8
KNOBS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("width 100 with eight times the initial weights", {"init": {"name": "xavier", "gain": 8.0}}),
    (
        "width 100 with a tenth of the bottom and ten times the top weights",
        {"init": {"name": "xavier", "layer_gains": [0.1, 10.0]}},
    ),
    (
        "width 100 with the output scaled by 100",
        {"output_scale": {"alpha": 100.0, "centred": False}},
    ),
    (
        "width 100 in the NTK parametrisation",
        {"init": {"name": "lecun"}, "parametrization": {"name": "ntk"}},
    ),
)
"""What moves a net between the regimes, and leaves a random one at chance"""


def _initial_accuracy(result: Any) -> float:
    return float(result.initial_test_accuracy)


def _test_accuracy(result: Any) -> float:
    return float(result.test_accuracy)


def _kernel_distance(result: Any) -> float:
    assert result.outcome == "trained", "the kernel of a net that learns nothing stays as well"
    return float(result.probes["kernel_distance"])


def _layer_accuracy(layer: int) -> Callable[[Any], float]:
    return lambda result: float(result.layers[layer].test_accuracy)


def _layer_loss(layer: int) -> Callable[[Any], float]:
    return lambda result: float(result.test_accuracy - result.layers[layer].test_accuracy)


def list_answers(options: Options) -> Iterator[Answer]:
    """Every row, the cheapest first. In a smoke test with tiny sizes."""
    small = {"train_size": 200, "test_size": 100} if options.smoke else {}
    digits = {"name": "mnist" if options.data_dir is not None else "digits"}
    few = {"train_size": options.size(1_000, 200), "test_size": options.size(1_000, 100)}
    for width in (10, 100, 1_000, options.size(10_000, 2_000)):
        yield _random_net(options, {**digits, **few}, f"width {width:,}", width)
    for told, fields in KNOBS:
        yield _random_net(options, {**digits, **few}, told, 100, **fields)
    yield _lazy_limit(options, {**digits, **few})
    yield from _width_answers(options, digits)
    yield from _layer_answers(options, {**digits, **small})
    yield Answer(
        "784-200-200-10, Adam 0.001, 100 epochs, all of MNIST: test accuracy",
        "0.9811",
        "arXiv 1804.08838",
        {
            "kind": "train",
            "data": {**digits, **small},
            "model": {"name": "relu_net", "width": 200, "depth": 2},
            "optimizer": {"name": "adam", "lr": 0.001},
            "epochs": options.size(100, 2),
            "evaluate": {"every": options.size(100, 2)},
        },
        3,
        _test_accuracy,
        could_be_drawn(0.9811),
        DRAWN,
    )
    yield from _ticket_answers(options, {**digits, **small})
    yield _stable_answer(options, {**digits, **small})
    yield from _colour_answers(options)
    yield from _vgg11_answers(options)


def _random_net(
    options: Options, data: Mapping[str, Any], told: str, width: int, **fields: Any
) -> Answer:
    """fields: of the spec, which change nothing of the argument."""
    return Answer(
        f"random ReLU-Net of {told}, one hidden layer: test accuracy",
        f"0.1, exactly, at every {'setting' if fields else 'width'}",
        "the outputs of a random net are exchangeable",
        {
            "kind": "train",
            "data": dict(data),
            "model": {"name": "relu_net", "width": width},
            "epochs": 0,
            **fields,
        },
        options.size(1_000, 20),
        _initial_accuracy,
        contains(CHANCE),
        "the 99 % interval of the mean contains 0.1",
        note=NO_FURTHER_EVIDENCE if fields else "",
    )


def _lazy_limit(options: Options, data: Mapping[str, Any]) -> Answer:
    """The tangent kernel of a net with a large output scale (arXiv 1812.07956)."""
    return Answer(
        "ReLU-Net of width 128 with the output scaled by 10,000, SGD: distance of its tangent "
        "kernel from the start",
        "0 as the scale grows",
        "arXiv 1812.07956",
        {
            "kind": "train",
            "data": dict(data),
            "model": {"name": "relu_net", "width": 128},
            "optimizer": {"name": "sgd", "lr": 0.03, "momentum": 0.0},
            "output_scale": {"alpha": 10_000},
            "epochs": 20,
            "probes": {"epochs": [], "quantities": ["tangent_kernel"]},
        },
        5,
        _kernel_distance,
        at_most(0.01),
        "the whole 95 % interval is at most 0.01; with a scale of 1 it is of order one",
    )


def _width_answers(options: Options, digits: Mapping[str, Any]) -> Iterator[Answer]:
    """How a net of one hidden layer becomes lazy as it grows, in the NTK parametrisation."""
    near_half = (lies_between(-0.6, -0.4), "the whole 95 % interval lies between -0.6 and -0.4")
    bound = (at_most(-0.4), "the whole 95 % interval is at most -0.4")
    near_one = (lies_between(-1.15, -0.85), "the whole 95 % interval lies between -1.15 and -0.85")
    note = "lecun, 128 images as one batch, 100 steps of 1, MSE, NTK parametrisation"
    bounded = (
        f"{note}; f_lin at the parameters of the net. The bound is not sharp: trials with one seed "
        "gave -0.7 to -0.9 before the rule was written"
    )
    for quantity, activation, published, source, (agrees, rule), own_note in (
        ("movement", "relu", "-0.5", LEE, near_half, note),
        ("linear_error", "relu", "at most -0.5", LEE, bound, bounded),
        ("movement", "gelu", "-0.5", LEE, near_half, note),
        ("linear_error", "gelu", "-1", SECOND_ORDER, near_one, note),
    ):
        first, *further = list_specs(options, digits, activation)
        yield Answer(
            f"slope of log {quantity} against log width from 64 to 4,096, one hidden layer of "
            f"{activation}",
            published,
            source,
            first,
            5,
            slope_over(options, quantity),
            agrees,
            rule,
            note=own_note,
            further=tuple(further),
        )


def _stable_answer(options: Options, data: Mapping[str, Any]) -> Answer:
    """Instability of LeNet-300-100 from its initialisation (arXiv 1912.05671, Figure 3)."""
    return Answer(
        "LeNet-300-100 on MNIST: instability of copies that part at the initialisation",
        "below 0.02: stable",
        "arXiv 1912.05671",
        {
            "kind": "connectivity",
            "data": dict(data),
            "model": {"name": "mlp", "widths": [300, 100]},
            "optimizer": {"name": "adam", "lr": 0.0012},
            "batch_size": 60,
            "epochs": options.size(40, 2),
            "evaluate": {"every": options.size(40, 2)},
            "by_layer": False,
        },
        5,
        lambda result: float(result.splits[0].instability),
        at_most(0.02),
        "the whole 95 % interval is at most 0.02",
        note="Adam 0.0012, 40 epochs of 60 examples a step; 5 seeds, after 3 had given 0.014 "
        "[0.003, 0.025]",
    )


def _layer_answers(options: Options, data: Mapping[str, Any]) -> Iterator[Answer]:
    """Robustness of the layers of a 3 x 256 net (arXiv 1902.01996)."""
    spec = {
        "kind": "reinit_sweep",
        "data": dict(data),
        "model": {"name": "relu_net", "width": 256, "depth": 3},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "epochs": options.size(40, 2),
        "evaluate": {"every": options.size(40, 2)},
        "modes": ["layer"],
    }
    source, note = "arXiv 1902.01996, Section 3", "40 epochs of SGD; theirs are 100"
    seeds = options.size(10, 3)
    enlarged = "10 seeds, after 3 had given 0.30 [0.11, 0.49] for layer 1"
    for layer in (1, 2):
        yield Answer(
            f"3 x 256 net on MNIST, layer {layer + 1} reset to its initial weights: accuracy lost",
            "little",
            source,
            {**spec, "reset_to": {"name": "init"}},
            seeds,
            _layer_loss(layer),
            at_most(0.05),
            "the whole 95 % interval is at most 0.05",
            note=f"{note}; {enlarged}",
        )
    yield Answer(
        "3 x 256 net on MNIST, layer 1 reset to its initial weights: accuracy lost",
        "most of it: the layer is critical",
        source,
        {**spec, "reset_to": {"name": "init"}},
        seeds,
        _layer_loss(0),
        lambda values: mean_interval(values)[0] >= 0.2,
        "the whole 95 % interval is at least 0.2",
        note=f"{note}; {enlarged}",
    )
    for layer in (0, 1, 2):
        yield Answer(
            f"3 x 256 net on MNIST, layer {layer + 1} drawn afresh: test accuracy",
            "about chance",
            source,
            {**spec, "reset_to": {"name": "fresh"}},
            5,
            _layer_accuracy(layer),
            at_most(0.4),
            "the whole 95 % interval is at most 0.4",
            note=note,
        )


def _ticket_answers(options: Options, data: Mapping[str, Any]) -> Iterator[Answer]:
    """Tickets of LeNet-300-100 (arXiv 1803.03635): rounds 4 and 7 leave 15.1 and 3.7 %."""
    epochs = options.size(TICKET_EPOCHS, 1)
    spec = {
        "kind": "lottery",
        "data": dict(data),
        "model": {"name": "mlp", "widths": [300, 100]},
        "optimizer": {"name": "adam", "lr": 0.0012},
        "batch_size": 60,
        "epochs": epochs,
        "evaluate": {"every": epochs},
        "rounds": 7,
        "prune_percent": 37.8,
        "controls": ["fresh"],
    }
    net, whole = "LeNet-300-100 on MNIST", "test accuracy less that of the whole net"
    for setting, published, value, agrees, rule in (
        (
            f"{net}, rewound with 3.7 % of its weights: {whole}",
            "about 0, at 3.6 %",
            lambda result: _ticket_gain(result, "ticket", 7),
            lambda values: mean_interval(values)[0] >= -0.01 and mean_interval(values)[1] <= 0.01,
            "the whole 95 % interval is between -0.01 and 0.01",
        ),
        (
            f"{net}, drawn afresh under the mask that leaves 15 %: {whole}",
            "below 0, from 21 % on",
            lambda result: _ticket_gain(result, "fresh", 4),
            at_most(0.0),
            "the whole 95 % interval is at most 0",
        ),
        (
            f"{net}, drawn afresh under the mask that leaves 3.7 %: {whole}",
            "below 0, from 21 % on",
            lambda result: _ticket_gain(result, "fresh", 7),
            at_most(0.0),
            "the whole 95 % interval is at most 0",
        ),
        (
            f"{net}, 15 % left: test accuracy rewound less that drawn afresh",
            "about 0.005, at 21 %",
            lambda result: _ticket_gain(result, "ticket", 4) - _ticket_gain(result, "fresh", 4),
            lambda values: mean_interval(values)[0] >= 0.0,
            "the whole 95 % interval is at least 0",
        ),
    ):
        yield Answer(
            setting,
            published,
            "arXiv 1803.03635, Section 2",
            spec,
            TICKET_SEEDS,
            value,
            agrees,
            rule,
            note=f"{epochs} epochs of 1,000 iterations, 7 rounds that prune 37.8 %; theirs are 50 "
            "epochs of 55,000 images, read where the validation loss is lowest, and 20 %; "
            f"{TICKET_SEEDS} seeds, after 3 of 2 epochs had decided one row of four. So early the "
            "pruned nets are ahead of the whole one, which lifts the rows against it",
        )


def _ticket_gain(result: Any, series: str, number: int) -> float:
    """Test accuracy of a series after a round, less that of the whole net."""
    (curve,) = (one for one in result.curves if one.series == series)
    return float(curve.test_accuracy[number - 1] - result.test_accuracy)


def _colour_answers(options: Options) -> Iterator[Answer]:
    """A net of 512 hidden units on CIFAR-10 cropped to 28 x 28 (arXiv 1611.03530, Table 1)."""
    spec = {
        "kind": "train",
        "model": {"name": "relu_net", "width": 512},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "evaluate": {"every": options.size(50, 2)},
    }
    source = "arXiv 1611.03530, Table 1"
    net = "CIFAR-10 (JPEG) cropped to 28 x 28, 1 x 512, SGD, no regularisation"
    note = "JPEG copies of the images; {} seeds of a published single run"
    yield Answer(
        f"{net}: test accuracy",
        "0.505",
        source,
        {**spec, "data": {"name": CROPPED}, "epochs": options.size(100, 2)},
        3,
        _test_accuracy,
        could_be_drawn(0.505),
        DRAWN,
        needs="cifar10-jpeg",
        note=note.format("three"),
    )
    yield Answer(
        f"{net}, random labels: train accuracy",
        "0.993",
        source,
        {**spec, "data": {"name": CROPPED_RANDOM}, "epochs": options.size(300, 2)},
        2,
        _test_accuracy,
        lambda values: min(values) >= 0.98,
        "every seed is at least 0.98: the net learns the labels by heart",
        needs="cifar10-jpeg",
        note=f"{note.format('two')}; the test set is the train set",
    )


def _vgg11_answers(options: Options) -> Iterator[Answer]:
    """VGG-11 on CIFAR-10, of a public training code and of the paper."""
    shared: dict[str, Any] = {
        "data": {"name": "cifar10-jpeg", "augmentation": "crop_flip"},
        "model": {"name": "vgg11"},
    }
    if options.smoke:
        shared = {
            "data": {"name": "digits", "train_size": 64, "test_size": 32},
            "model": {"name": "vgg11", "width_multiplier": 0.0625},
        }
    seeds, rule = 3, DRAWN
    note = "JPEG copies of the images; three seeds of a published single run"
    yield Answer(
        "VGG-11 on CIFAR-10 (JPEG), SGD 0.05 halved every 30 epochs, 300 epochs: test accuracy",
        "0.9040 at the end, 0.9105 at best",
        "epfml/cifar on GitHub, VGG-11 of 2019",
        {
            "kind": "train",
            **shared,
            "init": {"name": "he"},
            "optimizer": {
                "name": "sgd",
                "lr": 0.05,
                "momentum": 0.9,
                "nesterov": False,
                "weight_decay": 0.0005,
            },
            "schedule": {"name": "step", "every_epochs": 30, "factor": 0.5},
            "epochs": options.size(300, 1),
        },
        seeds,
        _test_accuracy,
        could_be_drawn(0.9040),
        rule,
        needs="gpu",
        note=f"{note}. Theirs has one linear layer after the convolutions and torch's initial "
        "weights; ours has the paper's three and He's",
    )
    yield Answer(
        "VGG-11 of the paper on CIFAR-10 (JPEG), Xavier, all layers, 180 epochs: test accuracy",
        "0.9080",
        "the paper, Table 1",
        {
            **presets()["table1", "paper"].body["spec"],
            **shared,
            "policy": {"name": "full"},
            "epochs": options.size(180, 1),
        },
        seeds,
        _test_accuracy,
        could_be_drawn(0.9080),
        rule,
        needs="gpu",
        note=note,
    )


def find_colour_file(options: Options) -> Path | None:
    """The JPEG copy of CIFAR-10 in the data folder."""
    path = None if options.data_dir is None else options.data_dir / "cifar10-jpeg.npz"
    return path if path is not None and path.is_file() else None


def write_colour_sets(options: Options) -> dict[str, Path]:
    """The cropped CIFAR-10 with its labels, and with random ones; empty without its file."""
    source = find_colour_file(options)
    if source is None:
        return {}
    with np.load(source) as stored:
        images = {split: stored[f"x_{split}"][:, CROP, CROP] for split in ("train", "test")}
        labels = {split: stored[f"y_{split}"] for split in ("train", "test")}
    if options.smoke:
        images = {split: one[::250] for split, one in images.items()}
        labels = {split: one[::250] for split, one in labels.items()}
    random = np.random.default_rng(0).integers(0, 10, size=len(labels["train"]))
    sets = {
        CROPPED: {
            **{f"x_{split}": one for split, one in images.items()},
            **{f"y_{split}": one for split, one in labels.items()},
        },
        CROPPED_RANDOM: {
            **{f"x_{split}": images["train"] for split in images},
            **{f"y_{split}": random for split in images},
        },
    }
    paths = {}
    for name, arrays in sets.items():
        paths[name] = options.work_dir / f"{name}.npz"
        np.savez(paths[name], **arrays)
    return paths
