"""Numbers that the paper prints. This module lists those of a net alone: its parameter counts.

A kind lists the numbers printed about its own results (`Kind.list_published`).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.spec import ModelSpec, Resnet18Spec, Vgg5Spec

PARAMETERS = "parameters"
"""The one quantity that is not a field of a point's result: p, of the net alone."""


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One number or bounds of one. Units are those of results: accuracies, differences in [0, 1];
    ratios to `full`."""

    quantity: str
    """A field of the point's result, or `parameters`."""
    at_least: float | None
    at_most: float | None
    """Equal to `at_least` where the paper prints one number."""
    printed: str
    """In the paper's own words or figures."""
    source: str


def publish_exactly(quantity: str, value: float, printed: str, source: str) -> PublishedNumber:
    """A number that the paper prints without bounds."""
    return PublishedNumber(quantity, value, value, printed, source)


def list_parameter_counts(model: ModelSpec) -> tuple[PublishedNumber, ...]:
    """The printed number of parameters of this net; empty where the paper prints none."""
    match model:
        case Vgg5Spec(second_kernel=3, batch_norm=True, width_multiplier=1.0):
            return (publish_exactly(PARAMETERS, 3_646_154, "p = 3,646,154", "Figure 1(a)"),)
        case Resnet18Spec(width_multiplier=1.0):
            return (publish_exactly(PARAMETERS, 11_173_962, "p = 11,173,962", "Figure 1(b)"),)
    return ()
