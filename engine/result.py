"""What every result holds: statistics over seeds, timings, outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["trained", "at_chance", "not_finite"]
"""`not_finite`: the train loss became NaN or infinite. `at_chance`: the trained net is no better than
guessing. Both are results, not faults."""


class ResultModel(BaseModel):
    """Base of results: frozen, closed, and free of NaN and infinity (absent values are null)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Statistic(ResultModel):
    """A quantity over seeds. With one seed there is no error to state: `standard_error` and `ci95` are null."""

    mean: float
    standard_error: float | None
    """Sample standard deviation / sqrt(n), as the paper draws."""
    ci95: tuple[float, float] | None
    """Student's t interval around the mean."""
    n: int


class Timings(ResultModel):
    """Seconds of one seed's training, device-synchronised (protocol, section 6). A stacked run's time is divided evenly among its seeds."""

    load_seconds: float = 0.0
    forward_seconds: float = 0.0
    backward_seconds: float = 0.0
    optimizer_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    cache_seconds: float = 0.0
    """Filling the frozen-prefix cache beyond what the forward pass computes anyway."""
    checkpoint_seconds: float = 0.0
    stacked_seeds: int = Field(
        default=1,
        ge=1,
        description="Seeds that trained as one stack with this one: their times are one measurement.",
    )

    @property
    def train_seconds(self) -> float:
        """Full training time: load + forward + backward + optimizer + cache (evaluation and checkpoints apart)."""
        return (
            self.load_seconds
            + self.forward_seconds
            + self.backward_seconds
            + self.optimizer_seconds
            + self.cache_seconds
        )


class TimingSummary(ResultModel):
    """Timings over the seeds of a point; seeds of one stack count as one measurement, so that `n` and the error are of
    times that were measured apart."""

    load_seconds: Statistic
    forward_seconds: Statistic
    backward_seconds: Statistic
    optimizer_seconds: Statistic
    evaluation_seconds: Statistic
    cache_seconds: Statistic
    train_seconds: Statistic


class SeedResult(ResultModel):
    """What one seed's training gave; the base of each kind's own result."""

    seed: int
    outcome: Outcome
    test_accuracy: float = Field(ge=0, le=1)
    initial_test_accuracy: float = Field(ge=0, le=1)
    train_loss: float | None = Field(
        description="Mean cross-entropy over the last epoch; null where it was not finite."
    )
    timings: Timings
    reused_from: str | None = None
    """The run whose training this seed's weights were taken from."""
    notes: tuple[str, ...] = ()
    """What the reader must know, e.g. why the frozen-prefix cache was not used."""


class PointResult(ResultModel):
    """One point over its seeds; the base of each kind's own summary (a shape on the wire)."""

    point: dict[str, Any]
    """The swept fields and their values."""
    outcome: Outcome
    """The worst of its seeds: `not_finite` before `at_chance` before `trained`."""
    untrained_seeds: tuple[int, ...] = ()
    seeds: tuple[int, ...]
    test_accuracy: Statistic
    notes: tuple[str, ...] = ()


Values = Mapping[str, Any]
