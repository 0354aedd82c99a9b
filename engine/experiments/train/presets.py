"""Named bodies of the kind `train`: the demo, Figures 4, 13 and 16."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset
from engine.paper.width_figures import Data, Depth, make_width_preset

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


def presets() -> Sequence[Preset]:
    """The demo, and Figures 4, 13 and 16 at both scales.

    Figures 4 and 16 use the nets of Figures 2, 3, 14 and 15, so each net is trained once. Figure 13
    describes a net and needs no training.
    """
    return (
        _make_demo(),
        *(preset for scale in SCALES for preset in (*_make_bars(scale), *_make_nets(scale))),
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
            "Accuracy at initialisation and at convergence",
            "Test accuracy of the initial and of the trained net, one bar per width.",
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
