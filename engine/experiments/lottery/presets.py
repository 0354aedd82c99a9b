"""Named bodies of the kind `lottery`: LeNet-300-100 (arXiv 1803.03635, Section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset
from engine.paper.width_figures import QUICK_DATA, TITLES

LENET: Mapping[str, Any] = {"name": "mlp", "widths": [300, 100]}
ADAM: Mapping[str, Any] = {"name": "adam", "lr": 0.0012}
BATCH_SIZE = 60
EPOCHS, QUICK_EPOCHS = 50, 10
"""50,000 iterations of 60 images are 50 epochs of MNIST"""
ROUNDS, QUICK_ROUNDS = 18, 12
"""To 1.9 and 7.0 % of the weights"""
QUICK_SEEDS = (0, 1, 2)
PAPER_SEEDS = tuple(range(5))
NO_VALIDATION = (
    "the lottery ticket hypothesis trains on 55,000 images and stops early by 5,000 others"
)


def presets() -> Sequence[Preset]:
    """The same study at both scales."""
    return _make("paper"), _make("quick")


def _make(scale: Scale) -> Preset:
    quick = scale == "quick"
    spec: dict[str, Any] = {
        "kind": "lottery",
        "data": dict(QUICK_DATA["mnist"]) if quick else {"name": "mnist"},
        "model": dict(LENET),
        "optimizer": dict(ADAM),
        "batch_size": BATCH_SIZE,
        "epochs": QUICK_EPOCHS if quick else EPOCHS,
        "rounds": QUICK_ROUNDS if quick else ROUNDS,
    }
    return make_preset(
        "lottery",
        scale,
        f"The lottery ticket: LeNet-300-100 on {TITLES[spec['data']['name']]}",
        "Test accuracy against the share of the weights that is left, after pruning a fifth of "
        "those left by magnitude in each round: set back to the initial weights, beside a fresh "
        "draw with the same mask and a random mask (arXiv 1803.03635, Figures 1 and 3).",
        spec,
        plots=("accuracy_by_weights_left",),
        seeds=QUICK_SEEDS if quick else PAPER_SEEDS,
        departures=(NO_VALIDATION,),
    )
