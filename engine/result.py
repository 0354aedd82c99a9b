"""The base of every result: outcomes, statistics over seeds, timings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["trained", "at_chance", "not_finite"]
"""`not_finite`: the train loss became NaN or infinite. `at_chance`: the trained net is no better
than guessing. Both are results, not errors."""


class ResultModel(BaseModel):
    """Base of results: frozen, no unknown fields, no NaN or infinity (absent values are null)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Statistic(ResultModel):
    """A quantity over seeds.

    With one seed `standard_error` and `ci95` are null. Where all values are equal the error is 0
    and `ci95` is null: there is no spread to make an interval of.
    """

    mean: float
    standard_error: float | None
    """Sample standard deviation / sqrt(n), as in the paper's figures."""
    ci95: tuple[float, float] | None
    """Student's t interval around the mean."""
    n: int


STATISTIC_FIELDS = frozenset(Statistic.model_fields)


def is_statistic(value: Any) -> bool:
    """Whether a value of a result, as JSON, is a statistic over seeds."""
    return isinstance(value, Mapping) and set(value) == STATISTIC_FIELDS


class Timings(ResultModel):
    """Seconds of one seed's training, device-synchronised (protocol, section 6).

    On a CPU with one thread they are computing time, which other programs do not lengthen. A
    stacked run's time is divided evenly among its seeds.
    """

    load_seconds: float = 0.0
    forward_seconds: float = 0.0
    backward_seconds: float = 0.0
    optimizer_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    cache_seconds: float = 0.0
    """Filling the frozen-prefix cache beyond what the forward pass computes anyway."""
    checkpoint_seconds: float = 0.0
    probe_seconds: float = 0.0
    """Measuring the `probes` of the spec."""
    stacked_seeds: int = Field(
        default=1,
        ge=1,
        description="Seeds in the stack that this one trained in: their times are one measurement.",
    )

    @property
    def train_seconds(self) -> float:
        """Full training time: load + forward + backward + optimizer + cache.

        Evaluation, checkpoints and probes are not included.
        """
        return (
            self.load_seconds
            + self.forward_seconds
            + self.backward_seconds
            + self.optimizer_seconds
            + self.cache_seconds
        )


class TimingSummary(ResultModel):
    """Timings over the seeds of a point.

    Seeds of one stack count as one measurement, so `n` and the error are of independent
    measurements.
    """

    load_seconds: Statistic
    forward_seconds: Statistic
    backward_seconds: Statistic
    optimizer_seconds: Statistic
    evaluation_seconds: Statistic
    cache_seconds: Statistic
    train_seconds: Statistic
    probe_seconds: Statistic | None = Field(
        default=None,
        exclude_if=lambda seconds: seconds is None,
        description="Measuring the spec's `probes`; absent without them.",
    )


class SeedResult(ResultModel):
    """The result of one seed; the base of each kind's own result."""

    seed: int
    outcome: Outcome
    test_accuracy: float = Field(ge=0, le=1)
    initial_test_accuracy: float = Field(ge=0, le=1)
    train_loss: float | None = Field(
        description="Mean cross-entropy over the last epoch; null where it was not finite."
    )
    timings: Timings
    reused_from: str | None = None
    """The run that trained this seed's weights, if they were reused."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader, e.g. why the frozen-prefix cache was not used."""
    probes: Mapping[str, float | None] = Field(
        default={},
        exclude_if=lambda probes: not probes,
        description="What the spec's `probes` measured at their last epoch, by metric; null where "
        "it was not finite.",
    )


class PointResult(ResultModel):
    """The result of one point over its seeds; the base of each kind's own summary."""

    point: dict[str, Any]
    """The swept fields and their values."""
    outcome: Outcome
    """The worst of its seeds: `not_finite` before `at_chance` before `trained`."""
    untrained_seeds: tuple[int, ...] = ()
    seeds: tuple[int, ...]
    test_accuracy: Statistic
    notes: tuple[str, ...] = ()
    probes: Mapping[str, Statistic] = Field(
        default={},
        exclude_if=lambda probes: not probes,
        description="What the spec's `probes` measured at their last epoch, by metric, over the "
        "seeds with a finite value.",
    )
