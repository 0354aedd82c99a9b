"""A length of training in epochs or in steps. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from engine.spec_model import SpecModel


class EpochSpan(SpecModel):
    """A number of epochs."""

    epochs: int = Field(ge=1, le=10_000)


class StepSpan(SpecModel):
    """A number of optimiser steps."""

    steps: int = Field(ge=1, le=10**9)


def _tag_span(span: object) -> str:
    return "<steps>" if isinstance(span, StepSpan) or _has_steps(span) else "<epochs>"


def _has_steps(span: object) -> bool:
    return isinstance(span, Mapping) and "steps" in span


Span = Annotated[
    Annotated[EpochSpan, Tag("<epochs>")] | Annotated[StepSpan, Tag("<steps>")],
    Discriminator(_tag_span),
]


def count_steps(span: Span, steps_per_epoch: int) -> int:
    """The span in steps, at least 1."""
    return span.steps if isinstance(span, StepSpan) else span.epochs * steps_per_epoch
