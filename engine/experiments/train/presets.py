"""Named bodies of the room `train`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset
from engine.paper.recipes import make_preset


def presets() -> Sequence[Preset]:
    """The demo: ReLU-Nets of three widths on the embedded real digits."""
    return (
        make_preset(
            "demo",
            "quick",
            "ReLU-Nets of three widths on real digits",
            "Test accuracy at initialisation and after training for widths 10, 100 and 1,000, five seeds each (Figure 4 in small).",
            {"kind": "train", "epochs": 20},
            sweep={"model.width": [10, 100, 1000]},
            plots=("learning_curve", "accuracy_bars", "timings"),
        ),
    )
