"""A length of training in epochs or in steps. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from engine.spec_model import SpecModel


class EpochSpan(SpecModel):
    """A number of epochs."""

    epochs: int = Field(ge=1, le=10_000)


class StepSpan(SpecModel):
    """A number of optimiser steps."""

    steps: int = Field(ge=1, le=10**9)


Span = EpochSpan | StepSpan


def count_steps(span: Span, steps_per_epoch: int) -> int:
    """The span in steps, at least 1."""
    return span.steps if isinstance(span, StepSpan) else span.epochs * steps_per_epoch
