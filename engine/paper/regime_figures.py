"""Presets that cross the regime with an experiment: does what it shows depend on rich or lazy?

`output_scale.alpha` moves a net from rich to lazy (arXiv 1812.07956), and `probes` measure where
each net lies. What is claimed of each preset was written before any of them was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.probes.reading import LAZY_BELOW, QUANTITY, RICH_FROM

ALPHA = "output_scale.alpha"
ALPHAS = (0.1, 1.0, 10.0, 100.0)
"""From rich to lazy"""
CROSSED_SGD: Mapping[str, Any] = {"name": "sgd", "lr": 0.01}
"""Adam's steps do not depend on the size of the loss, so that alpha would not move the regime."""

Claim = dict[str, Any]


def scaled(spec: Mapping[str, Any], optimizer: Mapping[str, Any] = CROSSED_SGD) -> dict[str, Any]:
    """The spec with a scaled output, SGD, and probes of the start and the end."""
    return {
        **spec,
        "optimizer": dict(optimizer),
        "output_scale": {"alpha": 1.0},
        "probes": {"epochs": []},
    }


def claim_regimes(rich: int, lazy: int) -> list[Claim]:
    """That the kernel has moved by the order of one at the point `rich`, and little at `lazy`."""
    return [
        {
            "name": "the smallest alpha is rich",
            "quantity": QUANTITY,
            "point": rich,
            "at_least": round(RICH_FROM, 3),
        },
        {
            "name": "the largest alpha is lazy",
            "quantity": QUANTITY,
            "point": lazy,
            "at_most": LAZY_BELOW,
        },
    ]


def claim_difference(name: str, quantity: str, points: Sequence[int], **bound: Any) -> Claim:
    """A claim on the quantity at the first of two points less that at the second, by seed."""
    point, versus = points
    return {"name": name, "quantity": quantity, "point": point, "versus": versus, **bound}
