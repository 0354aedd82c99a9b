"""Named bodies of the kind `train`: the demo, Figures 4, 13 and 16, and two on the regime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset
from engine.paper.regime_figures import ALPHA, ALPHAS, claim_difference, claim_regimes, scaled
from engine.paper.width_figures import TITLES, Data, Depth, make_width_preset

BARS: Sequence[tuple[str, Data, Depth]] = (
    ("fig4a", "mnist", 1),
    ("fig4b", "mnist", 4),
    ("fig16a", "fashion_mnist", 1),
    ("fig16b", "fashion_mnist", 4),
)
NETS: Sequence[tuple[str, str, str, str]] = (
    ("fig13a", "VGG-5", "vgg5", "mnist"),
    ("fig13b", "VGG-11", "vgg11", "cifar10"),
)
SCALES: tuple[Scale, ...] = ("paper", "quick")
LAZY_WIDTHS = (32, 128, 512)
GROKKING_IMAGES, GROKKING_ALPHAS = 256, (0.001, 0.5)
GROKKING_GAIN = 4.62
"""8 / sqrt(3): torch's modules draw a third of the variance 1 / fan_in, and the source scales their
weights by 8"""


def presets() -> Sequence[Preset]:
    """The demo; Figures 4, 13 and 16, from rich to lazy, and late generalisation at both scales.

    Figures 4 and 16 use the nets of Figures 2, 3, 14 and 15, so each net is trained once. Figure 13
    describes a net and needs no training.
    """
    return (
        _make_demo(),
        *(preset for scale in SCALES for preset in (*_make_bars(scale), *_make_nets(scale))),
        *map(_make_lazy_to_rich, SCALES),
        *map(_make_grokking, SCALES),
    )


def _make_demo() -> Preset:
    return make_preset(
        "demo",
        "quick",
        "ReLU-Nets of three widths on real digits",
        "Test accuracy at initialisation and after training for widths 10, 100 and 1,000, five "
        "seeds each (a small Figure 4).",
        {"kind": "train", "epochs": 20},
        sweep={"model.width": [10, 100, 1000]},
        plots=("learning_curve", "accuracy_bars", "timings"),
    )


def _make_bars(scale: Scale) -> list[Preset]:
    return [
        make_width_preset(
            name,
            scale,
            "train",
            data,
            depth,
            "Accuracy of the initial net and of the trained net",
            "Test accuracy of the initial net and of the trained net, one bar per width.",
            plots=("accuracy_bars",),
        )
        for name, data, depth in BARS
    ]


def _make_nets(scale: Scale) -> list[Preset]:
    """The figure is drawn from the spec alone. One epoch over few images makes it an experiment."""
    presets = []
    for name, title, model, data in NETS:
        images = data if scale == "paper" else "digits"
        spec = {
            "kind": "train",
            "data": {"name": images, "train_size": 100, "test_size": 100},
            "model": {"name": model},
            "epochs": 1,
        }
        departures = ["the net is drawn, hardly trained"]
        if images == "digits" and data == "cifar10":
            departures.append(
                "images of one channel and 28 x 28: 1,152 parameters fewer in the first layer"
            )
        presets.append(
            make_preset(
                name,
                scale,
                f"The architecture of {title}",
                "The layers of the net with their parameter counts, full width (Figure 13).",
                spec,
                plots=("architecture",),
                departures=departures,
            )
        )
    return presets


def _make_lazy_to_rich(scale: Scale) -> Preset:
    """The kernel's distance and the accuracy by alpha and width (arXiv 1812.07956).

    As in the source: plain SGD, and the cross-entropy, with which it trains classifiers.
    """
    data: dict[str, Any] = {"name": "digits"}
    if scale == "paper":
        data = {"name": "mnist", "train_size": 10_000}
    spec = {"kind": "train", "data": data, "epochs": 20 if scale == "quick" else 100}
    middle = LAZY_WIDTHS.index(128)
    rich, lazy = (place * len(LAZY_WIDTHS) + middle for place in (0, len(ALPHAS) - 1))
    return make_preset(
        "lazy_to_rich",
        scale,
        f"From rich to lazy: ReLU-Nets of three widths on {TITLES[data['name']]}",
        "Test accuracy and the distance of the tangent kernel from its start against alpha, the "
        "factor of the output around that of the initial net, one line per width (arXiv "
        "1812.07956). Plain SGD at one learning rate.",
        scaled(spec, {"name": "sgd", "lr": 0.03, "momentum": 0.0}),
        sweep={ALPHA: ALPHAS, "model.width": LAZY_WIDTHS},
        plots=("sweep_quantity",),
        claims=[
            claim_difference(
                "rich nets generalise better", "test_accuracy", (rich, lazy), at_least=0.0
            ),
            *claim_regimes(rich, lazy),
        ],
    )


def _make_grokking(scale: Scale) -> Preset:
    """The MNIST experiment of arXiv 2310.06110, with net and loss of arXiv 2210.01117."""
    name = "digits" if scale == "quick" else "mnist"
    early, late = 40, 1_500 if scale == "quick" else 6_250
    spec = {
        "kind": "train",
        "data": {"name": name, "train_size": GROKKING_IMAGES, "normalization": "unit"},
        "model": {"name": "relu_net", "depth": 2, "width": 200},
        "init": {"name": "lecun", "gain": GROKKING_GAIN},
        "loss": {"name": "mse"},
        "optimizer": {"name": "adam", "lr": 0.001},
        "batch_size": 16,
        "epochs": late,
        "evaluate": "log",
        "output_scale": {"alpha": 1.0, "centred": False},
        "probes": {"epochs": "log", "quantities": ["linearised", "tangent_kernel"]},
    }
    rich_early, rich_late, slow_early, slow_late = range(4)
    return make_preset(
        "grokking",
        scale,
        f"Late generalisation: ReLU-Nets on {TITLES[name]}, {GROKKING_IMAGES} images",
        f"Test accuracy of nets with eight times the usual weights that fit {GROKKING_IMAGES} "
        f"images within {early} epochs: with a small alpha it is high by then, with a larger one "
        "it rises long after (arXiv 2310.06110). No weight decay.",
        spec,
        sweep={ALPHA: GROKKING_ALPHAS, "epochs": [early, late]},
        plots=("learning_curve", "probes"),
        choices=[
            "weights are normal, with 64 times the variance that torch's modules draw; biases "
            "start at zero"
        ],
        claims=[
            claim_difference(
                "the larger alpha generalises late",
                "test_accuracy",
                (slow_late, slow_early),
                at_least=0.2,
            ),
            {
                "name": "when it has fit the train images",
                "quantity": "probe_accuracy",
                "point": slow_early,
                "at_least": 0.95,
            },
            claim_difference(
                "the small alpha generalises early",
                "test_accuracy",
                (rich_late, rich_early),
                at_most=0.1,
            ),
            claim_difference(
                "by then the small alpha is ahead",
                "test_accuracy",
                (rich_early, slow_early),
                at_least=0.2,
            ),
        ],
    )
