"""The spec of a plain training (paper, Section 3 and Figure 4)."""

from __future__ import annotations

from typing import Literal

from engine.spec import ExperimentSpec


class TrainSpec(ExperimentSpec):
    """Train every parameter; train loss and test accuracy by epoch."""

    kind: Literal["train"] = "train"
