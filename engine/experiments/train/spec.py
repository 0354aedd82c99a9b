"""The spec of a plain training (paper, Section 3 and Figure 4)."""

from __future__ import annotations

from typing import ClassVar, Literal

from engine.spec import ExperimentSpec


class TrainSpec(ExperimentSpec):
    """Train every parameter; train loss and test accuracy by epoch."""

    uses_initial_net: ClassVar[bool] = True

    kind: Literal["train"] = "train"
