"""Named bodies of the kind `sparse_train`: claim 4 as a training."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec
from engine.paper.width_figures import QUICK_DATA, QUICK_EPOCHS, TITLES

WIDTH = 1_000
QUICK_WIDTH = 100
SCALES: tuple[Scale, ...] = ("paper", "quick")


def presets() -> Sequence[Preset]:
    """The same study at both scales."""
    return tuple(map(_make, SCALES))


def _make(scale: Scale) -> Preset:
    width = WIDTH if scale == "paper" else QUICK_WIDTH
    spec = paper_spec(
        "sparse_train",
        "mnist",
        {"name": "relu_net", "depth": 1, "width": width},
        masks=["movement", "gradient_weight", "random"],
        shares_percent=[0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
    )
    if scale == "quick":
        spec |= {"data": dict(QUICK_DATA["mnist"]), "epochs": QUICK_EPOCHS}
    return make_preset(
        "sparse_train",
        scale,
        f"Is a tenth of the parameters enough? A ReLU-Net of width {width:,} on "
        f"{TITLES[spec['data']['name']]}",
        "Test accuracy where only a share of the parameters may move in training: those that move "
        "most in a training of all, those with the largest gradient times weight at the start, and "
        "as many drawn at random. Claim 4, asked of the training itself.",
        spec,
        plots=("accuracy_by_share",),
    )
