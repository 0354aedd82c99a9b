"""The numbers that the paper prints, of whatever point they can be said: parameter counts, Table 1, bounds in its text."""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.spec import InitSpec, ModelSpec, Resnet18Spec, Vgg5Spec, Vgg11Spec
from engine.paper.table1 import find_published
from engine.training.policies import (
    MiddlePolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    TopKAllBottomsPolicy,
    TopKBottomQPolicy,
    TopKPolicy,
)

PARAMETERS = "parameters"
"""The one quantity that is no field of a point's result: p, of the net alone."""
SMALLEST_RHO = 0.1


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One number, or bounds of one. Accuracies, their differences and ratios as in results: in [0, 1], to `full`."""

    quantity: str
    """A field of the point's result, or `parameters`."""
    at_least: float | None
    at_most: float | None
    """Equal where the paper prints one number."""
    printed: str
    """In the paper's own words or figures."""
    source: str


def list_published(
    model: ModelSpec, init: InitSpec, policy: PolicySpec | None
) -> tuple[PublishedNumber, ...]:
    """What the paper prints of this net, started so and trained by this policy (None: not layer by layer).

    Data and training are not looked at: `engine.paper.deviations` says where those differ.
    """
    found = _parameter_counts(model)
    if policy is not None:
        found += [*_table1_row(model, init, policy), *_bounds_in_text(model, init, policy)]
    return tuple(found)


def _parameter_counts(model: ModelSpec) -> list[PublishedNumber]:
    match model:
        case Vgg5Spec(second_kernel=3, batch_norm=True, width_multiplier=1.0):
            return [_exactly(PARAMETERS, 3_646_154, "p = 3,646,154", "Figure 1(a)")]
        case Resnet18Spec(width_multiplier=1.0):
            return [_exactly(PARAMETERS, 11_173_962, "p = 11,173,962", "Figure 1(b)")]
    return []


def _table1_row(model: ModelSpec, init: InitSpec, policy: PolicySpec) -> list[PublishedNumber]:
    row = find_published(model, init, policy)
    if row is None:
        return []
    return [
        _exactly("test_accuracy", row.test_accuracy, f"{100 * row.test_accuracy:.2f} %", "Table 1"),
        _exactly(
            "difference",
            row.difference,
            f"{100 * row.difference:+.2f} points, to the full net from Xavier",
            "Table 1",
        ),
        _exactly(
            "backward_seconds",
            row.backward_seconds,
            f"{row.backward_seconds:.2f} s on an NVIDIA Tesla K40m",
            "Table 1",
        ),
        _exactly("backward_ratio", row.backward_ratio, f"{row.backward_ratio:g}", "Table 1"),
    ]


def _bounds_in_text(model: ModelSpec, init: InitSpec, policy: PolicySpec) -> list[PublishedNumber]:
    found = []
    match model, policy:
        case (Vgg5Spec(), TopKPolicy(k=3 | 4) | TopKBottomQPolicy() | MiddlePolicy()):
            printed = "the degradation in generalization performance does not exceed 2%"
            found.append(PublishedNumber("difference", -0.02, None, printed, "Section 6.1"))
        case (Vgg11Spec(), MiddlePolicy()):
            printed = "less than 5% performance drop"
            found.append(PublishedNumber("difference", -0.05, None, printed, "Section 6.1"))
    is_best = isinstance(model, Vgg5Spec) or (
        isinstance(model, Vgg11Spec) and init.name == "pretrained"
    )
    if is_best and isinstance(policy, TopKAllBottomsPolicy) and policy.rho == SMALLEST_RHO:
        printed = "approximately 2 to 5 times faster than doing full back-propagation"
        found.append(PublishedNumber("backward_ratio", 1 / 5, 1 / 2, printed, "Figures 9 and 22"))
    if isinstance(model, Vgg5Spec | Vgg11Spec) and isinstance(
        policy, TopKAllBottomsPolicy | ProbTopKBottomQPolicy
    ):
        printed = "could approximately reduce the overall training time by half"
        found.append(PublishedNumber("train_ratio", 0.5, 0.5, printed, "Figure 12"))
    return found


def _exactly(quantity: str, value: float, printed: str, source: str) -> PublishedNumber:
    return PublishedNumber(quantity, value, value, printed, source)
