"""Named bodies of the kind `reinit_sweep`: Figures 2, 3, 14 and 15."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset
from engine.paper.recipes import Scale
from engine.paper.width_figures import Data, Depth, make_width_preset

FIGURES: Sequence[tuple[str, Data, Depth, tuple[str, ...]]] = (
    ("fig2", "mnist", 1, ("curves_log", "curves_linear")),
    ("fig3", "mnist", 4, ("curves_log", "curves_linear")),
    ("fig14a", "fashion_mnist", 1, ("curves_log",)),
    ("fig14b", "fashion_mnist", 4, ("curves_log",)),
    ("fig15a", "fashion_mnist", 1, ("curves_linear",)),
    ("fig15b", "fashion_mnist", 4, ("curves_linear",)),
)
SCALES: tuple[Scale, ...] = ("paper", "quick")


def presets() -> Sequence[Preset]:
    """Each figure at both scales. Figures 14 and 15 draw one experiment on two axes."""
    return [
        make_width_preset(
            name,
            scale,
            "reinit_sweep",
            data,
            depth,
            "Active and lazy re-initialisation",
            "Test accuracy against gamma (the most active parameters are reset) and epsilon (only "
            "they are kept), one line per width. The ends are the trained and the random net.",
            plots=plots,
        )
        for name, data, depth, plots in FIGURES
        for scale in SCALES
    ]
