"""Named bodies of the kind `reinit_sweep`: Figures 2, 3, 14 and 15."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec
from engine.paper.width_figures import (
    QUICK_DATA,
    QUICK_EPOCHS,
    TITLES,
    Data,
    Depth,
    make_width_preset,
)

FIGURES: Sequence[tuple[str, Data, Depth, tuple[str, ...]]] = (
    ("fig2", "mnist", 1, ("curves_log", "curves_linear")),
    ("fig3", "mnist", 4, ("curves_log", "curves_linear")),
    ("fig14a", "fashion_mnist", 1, ("curves_log",)),
    ("fig14b", "fashion_mnist", 4, ("curves_log",)),
    ("fig15a", "fashion_mnist", 1, ("curves_linear",)),
    ("fig15b", "fashion_mnist", 4, ("curves_linear",)),
)
SCALES: tuple[Scale, ...] = ("paper", "quick")


REFERENCE_POINTS: Sequence[Mapping[str, Any]] = (
    {"name": "init"},
    {"name": "step", "step": 20},
    {"name": "epoch", "epoch": 1},
)
"""What the paper may call initial; see `engine.paper.readings`."""
REFERENCE_WIDTH = 100


def presets() -> Sequence[Preset]:
    """Each figure at both scales, and the comparison of reference points.

    Figures 14 and 15 draw one experiment on two axes.
    """
    figures = [
        make_width_preset(
            name,
            scale,
            "reinit_sweep",
            data,
            depth,
            "Active and lazy re-initialisation",
            "Test accuracy against gamma (the most active parameters are reset) and epsilon (only "
            "they are kept), one line per width. The ends are the trained and the initial net.",
            plots=plots,
        )
        for name, data, depth, plots in FIGURES
        for scale in SCALES
    ]
    return [*map(_make_reference_point, SCALES), *figures]


def _make_reference_point(scale: Scale) -> Preset:
    """One width of Figure 2, reset towards each net that the paper may call initial."""
    spec = paper_spec(
        "reinit_sweep",
        "mnist",
        {"name": "relu_net", "depth": 1, "width": REFERENCE_WIDTH},
        modes=["active", "lazy", "random"],
    )
    if scale == "quick":
        spec |= {"data": dict(QUICK_DATA["mnist"]), "epochs": QUICK_EPOCHS}
    spec["data"] = spec["data"] | {"normalization": "unit"}
    return make_preset(
        "reference_point",
        scale,
        f"What initial means: a ReLU-Net of width {REFERENCE_WIDTH} on "
        f"{TITLES[spec['data']['name']]}",
        "Test accuracy against gamma and epsilon where parameters are reset to the random net, to "
        "the net after 20 steps and to the net after the first epoch, beside as many parameters "
        "drawn at random. One training serves all curves.",
        spec,
        sweep={"reset_to": REFERENCE_POINTS},
        plots=("curves_log", "curves_linear"),
    )
