"""Named bodies of the kind `reinit_sweep`: Figures 2, 3, 14 and 15, and by regime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec
from engine.paper.regime_figures import ALPHA, ALPHAS, claim_difference, claim_regimes, scaled
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
    """Each figure at both scales, the comparison of reference points, and the crossing by regime.

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
            "they are kept), one line per width. The ends are the trained net and the initial net.",
            plots=plots,
        )
        for name, data, depth, plots in FIGURES
        for scale in SCALES
    ]
    return [*map(_make_reference_point, SCALES), *map(_make_by_regime, SCALES), *figures]


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


def _make_by_regime(scale: Scale) -> Preset:
    """The net of the reference points from rich to lazy, by two readings of initial."""
    spec = paper_spec(
        "reinit_sweep",
        "mnist",
        {"name": "relu_net", "depth": 1, "width": REFERENCE_WIDTH},
        modes=["active", "lazy", "random"],
    )
    if scale == "quick":
        spec |= {"data": {"name": "digits"}, "epochs": 20}
    spec["data"] = spec["data"] | {"normalization": "unit"}
    resets = REFERENCE_POINTS[0], REFERENCE_POINTS[2]
    rich, lazy = 0, (len(ALPHAS) - 1) * len(resets)
    return make_preset(
        "regime_reinit",
        scale,
        f"Re-initialisation from rich to lazy: a ReLU-Net of width {REFERENCE_WIDTH} on "
        f"{TITLES[spec['data']['name']]}",
        "The accuracy lost where the 10 % most active parameters are reset, where only they are "
        "kept, and where as many drawn at random are reset, against alpha, the factor of the "
        "output; towards the random net and towards the net after the first epoch.",
        scaled(spec),
        sweep={ALPHA: ALPHAS, "reset_to": resets},
        plots=("sweep_quantity",),
        claims=[
            claim_difference(
                "resetting the most active costs more when rich",
                "lost_at_gamma_10",
                (rich, lazy),
                at_least=0.0,
            ),
            claim_difference(
                "the same towards the net after the first epoch",
                "lost_at_gamma_10",
                (rich + 1, lazy + 1),
                at_least=0.0,
            ),
            claim_difference(
                "keeping the most active restores more when rich",
                "lost_at_epsilon_10",
                (rich, lazy),
                at_most=0.0,
            ),
            claim_difference(
                "resetting as many at random costs the same in both regimes",
                "lost_at_random_gamma_10",
                (rich, lazy),
                within=[-0.05, 0.05],
            ),
            *claim_regimes(rich, lazy),
        ],
    )
