"""Named bodies of the kind `gradient_spectrum`: the two nets of Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from engine.kind import Preset
from engine.paper.departures import PAPER_SEEDS
from engine.paper.recipes import make_preset, paper_spec

KIND = "gradient_spectrum"
PLOTS = ("spectrum", "share_of_norm")
QUICK_SEEDS = (0, 1, 2)
VGG5 = {"name": "vgg5", "second_kernel": 3, "batch_norm": True}
RESNET18 = {"name": "resnet18"}
TITLES = {
    ("fig1a", "paper"): "Figure 1(a): sorted gradient components of VGG-5 on MNIST",
    ("fig1a", "quick"): "Figure 1(a) in small: VGG-5, a quarter as wide, on real digits",
    ("fig1b", "paper"): "Figure 1(b): sorted gradient components of ResNet-18 on CIFAR-10",
    ("fig1b", "quick"): "Figure 1(b) in small: ResNet-18, a quarter as wide, on real digits",
}
DESCRIPTION = (
    "Magnitudes of one mini-batch gradient in descending order, at steps from the first to the "
    "last of the training."
)
UNNAMED_STEPS = "the paper does not say at which steps"


def presets() -> Sequence[Preset]:
    """Each net at both scales; quick nets are a quarter as wide and train on embedded digits."""
    return (
        _make("fig1a", "paper", paper_spec(KIND, "mnist", VGG5, steps=(1, 10, 100, 1000, 7800))),
        _make(
            "fig1a",
            "quick",
            _quick_spec("mnist", VGG5, train_size=2000, epochs=4, steps=(1, 4, 16, 60)),
        ),
        _make(
            "fig1b",
            "paper",
            paper_spec(KIND, "cifar10", RESNET18, steps=(1, 10, 100, 1000, 10_000, 70_000)),
        ),
        _make(
            "fig1b",
            "quick",
            _quick_spec("cifar10", RESNET18, train_size=1000, epochs=4, steps=(1, 4, 12, 32)),
        ),
    )


def _quick_spec(
    data: str, model: dict[str, Any], *, train_size: int, epochs: int, steps: tuple[int, ...]
) -> dict[str, Any]:
    narrow = {**model, "width_multiplier": 0.25}
    digits = {"name": "digits", "train_size": train_size, "test_size": 500}
    return {**paper_spec(KIND, data, narrow, epochs=epochs, steps=steps), "data": digits}


def _make(name: str, scale: Literal["paper", "quick"], spec: dict[str, Any]) -> Preset:
    return make_preset(
        name,
        scale,
        TITLES[name, scale],
        DESCRIPTION,
        spec,
        plots=PLOTS,
        seeds=QUICK_SEEDS if scale == "quick" else range(PAPER_SEEDS),
        departures=(UNNAMED_STEPS,),
    )
