"""Named bodies of the kind `connectivity` (arXiv 1912.05671, Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset

PLOTS = ("instability", "line_error", "layer_instability")
LENET: dict[str, Any] = {"name": "mlp", "widths": [300, 100]}


def presets() -> Sequence[Preset]:
    """LeNet-300-100, stable from its initialisation; and a small net that becomes stable."""
    return (_make_lenet("paper"), _make_lenet("quick"), _make_unstable())


def _make_lenet(scale: Scale) -> Preset:
    """The source's net on MNIST: Adam at 0.0012, 60 examples a step, 24,000 steps."""
    is_paper = scale == "paper"
    spec: dict[str, Any] = {
        "kind": "connectivity",
        "data": {"name": "mnist" if is_paper else "digits"},
        "model": LENET,
        "optimizer": {"name": "adam", "lr": 0.0012},
        "batch_size": 60,
        "epochs": 40 if is_paper else 10,
        "splits": {"steps": [0, 30, 100, 1_000] if is_paper else [0, 30, 100]},
    }
    return make_preset(
        "connectivity_lenet",
        scale,
        f"LeNet-300-100 on {'MNIST' if is_paper else 'digits'}: stable from its initialisation",
        "Copies of the net that part at the start, and after some steps, and train in other orders "
        "of the examples: the error along the line between them hardly rises.",
        spec,
        seeds=(0, 1, 2),
        plots=PLOTS,
    )


def _make_unstable() -> Preset:
    """A small net with large steps, whose first steps decide where it ends."""
    return make_preset(
        "connectivity_unstable",
        "quick",
        "A small ReLU-Net on digits that is stable only after some steps",
        "From the start on, copies in other orders of the examples end at nets with a high error "
        "between them; copies that part after some steps do not.",
        {
            "kind": "connectivity",
            "data": {"name": "digits", "train_size": 1_000, "test_size": 500},
            "model": {"name": "relu_net", "width": 32, "depth": 2},
            "optimizer": {"name": "adam", "lr": 0.01},
            "batch_size": 50,
            "epochs": 8,
            "splits": {"steps": [0, 1, 2, 3, 5, 10, 30, 60]},
        },
        plots=PLOTS,
    )
