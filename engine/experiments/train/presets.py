"""Named bodies of the room `train`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset


def presets() -> Sequence[Preset]:
    """The demo: ReLU-Nets of three widths on the embedded real digits."""
    return (
        Preset(
            name="demo",
            title="ReLU-Nets of three widths on real digits",
            description="Test accuracy at initialisation and after training for widths 10, 100 and 1,000, five seeds each (Figure 4 in small).",
            scale="quick",
            body={
                "spec": {"kind": "train", "epochs": 20},
                "sweep": {"model.width": [10, 100, 1000]},
                "seeds": [0, 1, 2, 3, 4],
                "name": "demo",
                "labels": {"preset": "demo"},
            },
            plots=("learning_curve", "accuracy_bars", "timings"),
            deviations=(
                "5,000 MNIST digits (4,000 to train) instead of 20,000",
                "20 epochs instead of 100",
                "Adam at lr 0.001 instead of 0.1",
            ),
        ),
    )
