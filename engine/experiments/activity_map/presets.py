"""Figures 5, 6 and 17 to 20 of the paper, and activity by regime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec
from engine.paper.regime_figures import ALPHA, ALPHAS, claim_difference, claim_regimes, scaled

PLOTS = ("activity_map", "activity_map_max", "layer_shares", "concentration")
GUESSED_WIDTH = "the width of the wide net, which the paper does not name"
QUICK_SEEDS = (0, 1, 2)
QUICK_TRAINING = {"epochs": 50, "batch_size": 32}
"""Few images, small batches and many epochs: 800 steps bring the loss of wide nets near zero, as
the paper's 7,900 do. In the first hundred steps other parameters are active than later."""
QUICK_TRAIN_SIZE, QUICK_TEST_SIZE = 500, 1000
WORDS = {
    "relu_net": "ReLU-Net",
    "conv_net": "Conv-Net",
    "mnist": "MNIST",
    "digits": "digits",
    "fashion_mnist": "Fashion-MNIST",
}


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure: a net on a data set, narrow and wide. The paper prints only the narrow width."""

    name: str
    data: Literal["mnist", "fashion_mnist"]
    model: Literal["relu_net", "conv_net"]
    depth: int
    widths: tuple[int, int]
    quick_widths: tuple[int, int]


_FIGURES = (
    _Figure("fig5", "mnist", "relu_net", 4, (100, 1000), (100, 1000)),
    _Figure("fig6", "mnist", "conv_net", 2, (10, 100), (10, 64)),
    _Figure("fig17", "mnist", "conv_net", 4, (10, 100), (10, 64)),
    _Figure("fig18", "fashion_mnist", "relu_net", 4, (100, 1000), (100, 1000)),
    _Figure("fig19", "fashion_mnist", "conv_net", 2, (10, 100), (10, 64)),
    _Figure("fig20", "fashion_mnist", "conv_net", 4, (10, 100), (10, 64)),
)


def presets() -> Sequence[Preset]:
    """Each figure, and activity by regime, at both scales."""
    figures = (preset for figure in _FIGURES for preset in _make_scales(figure))
    return (*figures, _make_by_regime("paper"), _make_by_regime("quick"))


def _make_scales(figure: _Figure) -> Iterator[Preset]:
    net = f"{figure.depth + 1}-layer {WORDS[figure.model]}s"
    description = (
        f"How often each parameter of {net} (d = {figure.depth}) is among the 1, 10 and 30 % with "
        "the largest gradients, in a narrow and a wide net "
        f"(Figure {figure.name.removeprefix('fig')})."
    )
    spec = paper_spec("activity_map", figure.data, {"name": figure.model, "depth": figure.depth})
    yield make_preset(
        figure.name,
        "paper",
        f"Activity of {net} on {WORDS[figure.data]}",
        description,
        spec,
        sweep={"model.width": figure.widths},
        plots=PLOTS,
        choices=(GUESSED_WIDTH,),
    )
    # the embedded digits replace MNIST
    data = "digits" if figure.data == "mnist" else figure.data
    yield make_preset(
        figure.name,
        "quick",
        f"Activity of {net} on {WORDS[data]}",
        description,
        {
            **spec,
            "data": {"name": data, "train_size": QUICK_TRAIN_SIZE, "test_size": QUICK_TEST_SIZE},
            **QUICK_TRAINING,
        },
        sweep={"model.width": figure.quick_widths},
        seeds=QUICK_SEEDS,
        plots=PLOTS,
        choices=(GUESSED_WIDTH,),
    )


def _make_by_regime(scale: Scale) -> Preset:
    """The narrow ReLU-Net of Figure 5 from rich to lazy."""
    depth = 4
    spec = paper_spec("activity_map", "mnist", {"name": "relu_net", "depth": depth, "width": 100})
    if scale == "quick":
        sizes = {"train_size": QUICK_TRAIN_SIZE, "test_size": QUICK_TEST_SIZE}
        spec |= {"data": {"name": "digits", **sizes}, **QUICK_TRAINING}
    ends = rich, lazy = 0, len(ALPHAS) - 1
    return make_preset(
        "regime_activity",
        scale,
        f"Activity from rich to lazy: {depth + 1}-layer ReLU-Nets on {WORDS[spec['data']['name']]}",
        "The share of the 1 % largest gradients (alpha = 1 %) that the top and the bottom layer "
        "hold, against the factor of the output, which is called alpha as well.",
        scaled(spec, {"name": "sgd", "lr": 0.001}),
        sweep={ALPHA: ALPHAS},
        plots=("concentration", "sweep_quantity"),
        claims=[
            *(
                claim_difference(
                    f"the {name} layer is as active in both regimes",
                    f"share_of_layers.{layer}_at_alpha_1",
                    ends,
                    within=[-0.05, 0.05],
                )
                for name, layer in (("top", depth), ("bottom", 0))
            ),
            *claim_regimes(rich, lazy),
        ],
    )
