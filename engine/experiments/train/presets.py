"""Named bodies of the room `train`: the demo, Figures 4 and 16."""

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
SCALES: tuple[Scale, ...] = ("paper", "quick")


def presets() -> Sequence[Preset]:
    """The demo, and each figure at both scales: the nets of Figures 2, 3, 14 and 15, which are trained once."""
    return (_make_demo(), *(bars for scale in SCALES for bars in _make_bars(scale)))


def _make_demo() -> Preset:
    return make_preset(
        "demo",
        "quick",
        "ReLU-Nets of three widths on real digits",
        "Test accuracy at initialisation and after training for widths 10, 100 and 1,000, five seeds each (Figure 4 in small).",
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
            "Test accuracy of the random and of the trained net, a bar a width.",
            plots=("accuracy_bars",),
        )
        for name, data, depth in BARS
    ]
