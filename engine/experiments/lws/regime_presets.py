"""Training only the top layers, from rich to lazy, as a body ready to submit."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset
from engine.paper.recipes import Scale, make_preset, paper_spec
from engine.paper.regime_figures import ALPHA, ALPHAS, claim_difference, claim_regimes, scaled
from engine.paper.width_figures import TITLES

DEPTH, JUDGED_K = 4, 2
POLICIES = ({"name": "full"}, *({"name": "top_k", "k": k} for k in (1, JUDGED_K, 3)))
MOST_LOST = -0.02
"""The paper's bound on what a policy that keeps the accuracy loses (Section 6.1)"""


def make_by_regime(scales: Sequence[Scale]) -> list[Preset]:
    return [_make(scale) for scale in scales]


def _make(scale: Scale) -> Preset:
    """The net has no batch normalisation, whose output for an image depends on the batch."""
    spec = paper_spec("lws", "mnist", {"name": "relu_net", "depth": DEPTH, "width": 100})
    if scale == "quick":
        spec |= {
            "data": {"name": "digits", "train_size": 1_000, "test_size": 1_000},
            "epochs": 30,
            "batch_size": 32,
        }
    full = [place * len(POLICIES) for place in range(len(ALPHAS))]
    judged = [place + POLICIES.index({"name": "top_k", "k": JUDGED_K}) for place in full]
    ends = rich, lazy = judged[0], judged[-1]
    return make_preset(
        "regime_lws",
        scale,
        f"Training the top layers alone, from rich to lazy: {DEPTH + 1}-layer ReLU-Nets on "
        f"{TITLES[spec['data']['name']]}",
        "Test accuracy of training only the top one, two or three layers, less that of training "
        "all, against alpha, the factor of the output.",
        scaled(spec, {"name": "sgd", "lr": 0.001}),
        sweep={ALPHA: ALPHAS, "policy": POLICIES},
        plots=("sweep_quantity",),
        claims=[
            claim_difference(
                f"training the top {JUDGED_K} layers alone costs more when rich",
                "difference",
                ends,
                at_most=0.0,
            ),
            *(
                {
                    "name": f"it loses less than 2 points when {name}",
                    "quantity": "difference",
                    "point": point,
                    "at_least": MOST_LOST,
                }
                for name, point in (("rich", rich), ("lazy", lazy))
            ),
            *claim_regimes(full[0], full[-1]),
        ],
    )
