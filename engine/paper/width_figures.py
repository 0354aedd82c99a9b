"""The nets of Figures 2 to 4 and 14 to 16: ReLU-Nets from narrow to wide.

The figures share one training spec, so each net is trained once. The paper's text names the ends of
its grids (10 to 100,000 with one hidden layer, 10 to 5,000 with four) and, on Fashion-MNIST with
one hidden layer, a width of 20. The widths between are a decade apart, or half a decade where the
grid is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec

Depth = Literal[1, 4]
Data = Literal["mnist", "fashion_mnist"]

WIDTHS: Mapping[tuple[Depth, Scale], tuple[int, ...]] = {
    (1, "paper"): (10, 100, 1_000, 10_000, 100_000),
    (4, "paper"): (10, 50, 100, 500, 1_000, 5_000),
    (1, "quick"): (10, 100, 1_000, 10_000),
    (4, "quick"): (10, 100, 500, 1_000),
}
FASHION_WIDTH = 20
"""The trained net of Figure 16 that beats the widest random one."""
QUICK_EPOCHS = 10
QUICK_DATA: Mapping[Data, Mapping[str, Any]] = {
    "mnist": {"name": "digits"},
    "fashion_mnist": {"name": "fashion_mnist", "train_size": 4_000, "test_size": 1_000},
}
QUICK_SEEDS_PER_RUN = 2
"""Lets two processes share the seeds of the widest net."""
GUESSED_WIDTHS = "widths between the paper's narrowest and its widest, which it does not name"
TITLES: Mapping[str, str] = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "digits": "digits"}


def make_width_preset(
    name: str,
    scale: Scale,
    kind: str,
    data: Data,
    depth: Depth,
    title: str,
    description: str,
    *,
    plots: Sequence[str],
) -> Preset:
    """A preset of `kind` over the widths of one depth."""
    spec = paper_spec(kind, data, {"name": "relu_net", "depth": depth})
    execution = None
    if scale == "quick":
        spec |= {"data": dict(QUICK_DATA[data]), "epochs": QUICK_EPOCHS}
        execution = {"seeds_per_run": QUICK_SEEDS_PER_RUN}
    widths = list(WIDTHS[depth, scale])
    if data == "fashion_mnist" and depth == 1:
        widths = sorted({*widths, FASHION_WIDTH})
    choices = [GUESSED_WIDTHS] if scale == "paper" else []
    layers = "one hidden layer" if depth == 1 else f"{depth} hidden layers"
    return make_preset(
        name,
        scale,
        f"{title}: ReLU-Nets with {layers} on {TITLES[spec['data']['name']]}",
        description,
        spec,
        sweep={"model.width": widths},
        plots=plots,
        execution=execution,
        choices=choices,
    )
